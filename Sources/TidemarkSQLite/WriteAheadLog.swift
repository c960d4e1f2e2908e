#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif
import GRDB
import GRDBSQLite
import Tidemark

/// The `-wal` file beside a database, looked at by a process that writes to it: whether it still is what SQLite takes it
/// for.
///
/// SQLite keeps in shared memory which pages the file has, and does not look again. Where somebody else cuts the file
/// off, a commit would go beyond its end, be acknowledged, and be gone after the next crash, because recovery ends at
/// the gap (https://www.sqlite.org/walformat.html).
///
/// It is looked at through the files that SQLite has open, with one short read before and one after what a transaction
/// writes. Its size is not asked for: `fstat` tells the times too, and that is dear, see `CFileIdentity`.
struct WriteAheadLog: Sendable {
    private let store: String

    /// A larger file is cut down to this when it begins again: as many pages as are moved at a time, and some more.
    static let sizeLimit = 16 << 20
    /// From so many pages on each commit in a turn moves what is in the file into the database. SQLite's own number.
    static let pagesUntilCheckpoint: Int32 = 1000

    /// - Parameter store: the path of the database.
    init(ofDatabase store: String) {
        self.store = store
    }

    /// In a transaction that has the write lock, before anything is written. What of the file is in the database.
    ///
    /// - Throws: ``TidemarkError/notADatabase(store:problem:)`` when the file is shorter than all processes together
    ///   have left it.
    @discardableResult
    func requireWhole(_ db: Database) throws -> CheckpointState? {
        let state = OpenedFile(db, .database)?.checkpointState
        guard let end = state?.endOfCommits, end > 0, let file = OpenedFile(db, .log) else { return state }
        var last: UInt8 = 0
        if withUnsafeMutableBytes(of: &last, { file.read(into: $0, at: end - 1) }) == .short { throw cutOff }
        return state
    }

    /// What of the file is in the database, in a transaction that reads. Nil where there is no such file: then SQLite
    /// must not be asked for its index, which it would make.
    func checkpointState(_ db: Database) -> CheckpointState? {
        guard OpenedFile(db, .log) != nil else { return nil }
        return OpenedFile(db, .database)?.checkpointState
    }

    /// After a commit that wrote something, and before it is acknowledged.
    ///
    /// - Throws: ``TidemarkError/notADatabase(store:problem:)`` when the file does not begin as one does that has a
    ///   commit: it was emptied under way.
    func requireCommitted(_ db: Database) throws {
        guard let file = OpenedFile(db, .log) else { return }
        var magic: UInt32 = 0
        // A short one: SQLite had emptied it, and what was changed was taken back in a savepoint.
        guard withUnsafeMutableBytes(of: &magic, { file.read(into: $0, at: 0) }) == .whole else { return }
        if UInt32(bigEndian: magic) & ~1 != 0x377F_0682 { throw cutOff }
    }

    /// In a database that has no table, when it has been read: what cannot be read of its `-wal` is no reason to begin a
    /// new one.
    ///
    /// - Throws: ``TidemarkError/notADatabase(store:problem:)`` when SQLite took nothing from the file, and there are
    ///   commits in it. (A process that was killed while it made the first one has left none.)
    func requireRead(_ db: Database) throws {
        guard OpenedFile(db, .database)?.endOfCommits ?? 0 == 0,
            let file = OpenedFile(db, .log),
            let page = try Query.first(db, "PRAGMA page_size", row: { $0.number(0) })
        else { return }
        for frame in 0..<Self.mostFramesLookedAt {
            // The size of the database after a commit; 0 where more frames of it follow.
            var pages: UInt32 = 0
            let start = 32 + frame * (24 + page)
            guard withUnsafeMutableBytes(of: &pages, { file.read(into: $0, at: start + 4) }) == .whole else { return }
            if pages != 0 {
                // The last connection takes the file away when it is closed, and this is one.
                var keeps: Int32 = 1
                sqlite3_file_control(db.sqliteConnection, nil, SQLITE_FCNTL_PERSIST_WAL, &keeps)
                throw TidemarkError.notADatabase(
                    store: store,
                    problem:
                        "it is empty, and the commits in its -wal cannot be read: put both files back as they were "
                        + "together, or move the -wal away")
            }
        }
    }

    private static let mostFramesLookedAt: Int64 = 10_000

    /// How large the file is, and who keeps what is in it from being moved into the database, in a transaction that reads.
    func status(_ db: Database) -> StreamStatus.LogStatus? {
        var information = stat()
        guard stat(store + "-wal", &information) == 0 else { return nil }
        let bytes = Int64(information.st_size)
        guard bytes > Self.sizeLimit, let marks = OpenedFile(db, .database)?.marksInTheWay else {
            return StreamStatus.LogStatus(bytes: bytes, keptBy: [])
        }
        let readers = Set(marks.flatMap { WriteLockHolder.readers(ofDatabase: store, mark: $0) })
        return StreamStatus.LogStatus(
            bytes: bytes, keptBy: readers.sorted().map { DatabaseProcess.description(of: $0, db) })
    }

    private var cutOff: TidemarkError {
        .notADatabase(
            store: store,
            problem: "its -wal file was cut off while it was open: end every process that uses it, and check what is "
                + "left of the newest commits")
    }
}

extension Database {
    /// Runs `body` without a checkpoint after what it commits, see ``SQLiteVersion/hasWALResetFault``.
    func withoutCheckpoints<Value>(_ body: () -> Value) -> Value {
        guard let sqliteConnection else { return body() }
        sqlite3_wal_autocheckpoint(sqliteConnection, 0)
        defer { sqlite3_wal_autocheckpoint(sqliteConnection, WriteAheadLog.pagesUntilCheckpoint) }
        return body()
    }
}

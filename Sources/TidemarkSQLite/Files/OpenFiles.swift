#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif
import GRDB
import GRDBSQLite
import Synchronization
import Tidemark

/// The files of a database that is open: the database, its `-wal`, and its `-shm`.
///
/// While a connection is open nobody of SQLite's takes one of them away. Somebody else can: who copies a backup over the
/// database removes the other two, and a process that has them open still would go on with files that have no name any
/// more. What it acknowledged would be gone with it, and others would be given the same IDs
/// (https://www.sqlite.org/howtocorrupt.html#_unlinking_or_renaming_a_database_file_while_in_use).
final class OpenFiles: Sendable {
    /// As long as it is open, no other file can be mistaken for it.
    let database: FileIdentity
    private let path: String
    private let logPath: String
    private let indexPath: String
    private let beside: Mutex<Beside>
    /// Where the database was opened as a file that does not change.
    private let still: StillFile?

    private struct Beside {
        /// Nil until there is one: a store that only reads need not have them.
        var log: FileIdentity?
        var index: FileIdentity?
        var areClosed = false
    }

    /// - Parameters:
    ///   - path: of the database, which is open and has been read.
    ///   - still: how it was before, where it was opened as a file that does not change.
    init(_ path: String, database: FileIdentity, still: StillFile? = nil) {
        self.still = still
        self.path = path
        logPath = path + "-wal"
        indexPath = path + "-shm"
        self.database = database
        beside = Mutex(Beside(log: FileIdentity(path: logPath), index: FileIdentity(path: indexPath)))
    }

    /// Nothing is open any more: the last process that closes a database takes the other two away.
    func close() { beside.withLock { $0.areClosed = true } }

    /// Whether a database that was opened as a file that does not change has changed all the same.
    var hasMoved: Bool { still.map { !$0.isStill } ?? false }

    /// Whether each of them still has its name; true when they are closed.
    var areInPlace: Bool { areInPlace(FileIdentity(path: path)) }

    /// The same, and when the database was written to last.
    var look: (areInPlace: Bool, stamp: FileStamp?) {
        let found = FileStamp.of(path)
        return (areInPlace(found?.identity), found?.stamp)
    }

    private func areInPlace(_ database: FileIdentity?) -> Bool {
        let (log, index) = (FileIdentity(path: logPath), FileIdentity(path: indexPath))
        return beside.withLock { beside in
            if beside.areClosed { return true }
            beside.log = beside.log ?? log
            beside.index = beside.index ?? index
            return database == self.database && beside.log == log && beside.index == index
        }
    }
}

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

/// Whether the database file still has what SQLite has put into it.
///
/// A backup that is copied over the file, which stays the same one, is not noticed by SQLite: what a process has in
/// memory goes on being true for it, and new commits go on top of the other contents. But nothing except a checkpoint
/// writes to the file of a database in WAL mode. So one page is kept that each commit changes, that of the streams. It
/// must be the same for as long as nobody checkpoints; and when all of the `-wal` has been moved into the file, what the
/// page says must be what the database says. Where a part of the `-wal` was moved, or it has begun again, it must be what
/// the `-wal` says that it is, see ``LogOrigin``.
///
/// A transaction that reads looks too. Others may commit meanwhile, and move what the `-wal` has; but the database's index says
/// so before and after, and nothing is moved beyond what the oldest snapshot that is open, the reader's own, has seen. So
/// where all of it is in the file while a snapshot is open, the file is what the snapshot shows.
///
/// It costs nothing until the file was written to: the time of its last change is asked for with its name.
final class DatabaseContents: Sendable {
    private struct State {
        /// The file's stamp when it was looked at last.
        var stamp: FileStamp?
        var seen: Seen?
        /// Whether the page could be read once: it cannot where something between SQLite and the file changes it.
        var isReadable = false
    }

    private struct Seen: Equatable {
        let checkpoint: CheckpointState
        let page: Int64
        let bytes: [UInt8]
    }

    private let store: String
    private let state = Mutex(State())

    /// - Parameter store: the path of the database.
    init(of store: String) { self.store = store }

    /// In a transaction that has the write lock, before anything is written; or in one that reads, after what it read.
    ///
    /// - Parameters:
    ///   - stamp: of the file, from after the transaction's begin; nil where it cannot be told.
    ///   - checkpoint: as the transaction found it.
    /// - Throws: ``TidemarkError/databaseReplaced(store:)``.
    func requireUnchanged(_ db: Database, _ stamp: FileStamp?, _ checkpoint: CheckpointState?) throws {
        guard let checkpoint, checkpoint.isQuiet else { return }
        let isSame = state.withLock { state in
            // Where the `-wal` has begun again the page is looked at as well: it counts for what is moved from there on.
            state.stamp == stamp && state.seen?.checkpoint.generation == checkpoint.generation
        }
        guard !isSame, let seen = look(db) else { return }
        if try isUnchanged(seen, stamp, db) { return }
        // It ends every process, so it is believed when it is found twice.
        guard look(db) == seen else { return }
        throw TidemarkError.databaseReplaced(store: store)
    }

    /// Whether the file is what it should be; then it is what the next look is compared with.
    private func isUnchanged(_ seen: Seen, _ stamp: FileStamp?, _ db: Database) throws -> Bool {
        if let before = state.withLock({ $0.seen }) {
            if seen.checkpoint.movedNothing(since: before.checkpoint) {
                if before.page == seen.page, before.bytes != seen.bytes { return false }
            } else if !seen.checkpoint.isWhole, try !LogOrigin.isRight(db) {
                return false
            }
        }
        let isRight = seen.checkpoint.isWhole ? try Self.holdsNewest(seen.bytes, db) : nil
        return state.withLock { state in
            if isRight == false, state.isReadable { return false }
            state.isReadable = state.isReadable || isRight == true
            state.stamp = stamp
            state.seen = seen
            return true
        }
    }

    /// Nil while somebody checkpoints, and where it cannot be told: the next transaction looks again.
    private func look(_ db: Database) -> Seen? {
        guard let page = rootPage(db), page > 1, let file = OpenedFile(db, .database), let before = file.checkpointState
        else {
            return nil
        }
        var bytes = [UInt8](repeating: 0, count: before.pageSize)
        let reading = bytes.withUnsafeMutableBytes { file.read(into: $0, at: (page - 1) * Int64(before.pageSize)) }
        // A page that is not in the file yet reads as one that is empty.
        guard reading != .failed, let after = file.checkpointState, before == after, after.isQuiet else { return nil }
        return Seen(checkpoint: after, page: page, bytes: bytes)
    }

    /// The root page of the table of streams. Where SQLite cannot read the schema any more, the one that was read last.
    private func rootPage(_ db: Database) -> Int64? {
        do {
            return try StreamsPage.number(db)
        } catch {
            return state.withLock { $0.seen?.page }
        }
    }

    /// Whether the page has the newest commit of each stream; nil where that cannot be told.
    private static func holdsNewest(_ bytes: [UInt8], _ db: Database) throws -> Bool? {
        let rows = try Query.all(db, "SELECT stream, sequence, commit_number FROM tidemark_streams") {
            (stream: $0.number(0), sequence: $0.number(1), commit: $0.number(2))
        }
        if rows.allSatisfy({ $0.commit == 0 }) { return nil }
        // Several pages have the streams, if they are many: this one has none then.
        if bytes.first == 0x05 { return nil }
        // It is no page of a table: somebody writes into the file just now, say.
        guard let page = StreamsPage(bytes) else { return false }
        let columns = try StreamsPage.Columns(db)
        return rows.allSatisfy { row in
            page.streams[row.stream].map {
                columns.value("sequence", of: $0) == row.sequence
                    && columns.value("commit_number", of: $0) == row.commit
            } ?? false
        }
    }
}

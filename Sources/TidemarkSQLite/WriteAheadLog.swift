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

    /// - Parameter store: the path of the database.
    init(ofDatabase store: String) {
        self.store = store
    }

    /// In a transaction that has the write lock, before anything is written.
    ///
    /// - Throws: ``TidemarkError/notADatabase(store:problem:)`` when the file is shorter than all processes together
    ///   have left it.
    func requireWhole(_ db: Database) throws {
        guard let end = OpenedFile(db, SQLITE_FCNTL_FILE_POINTER)?.endOfCommits, end > 0,
            let file = OpenedFile(db, SQLITE_FCNTL_JOURNAL_POINTER)
        else { return }
        var last: UInt8 = 0
        if withUnsafeMutableBytes(of: &last, { file.read(into: $0, at: end - 1) }) == .short { throw cutOff }
    }

    /// After a commit that wrote something, and before it is acknowledged.
    ///
    /// - Throws: ``TidemarkError/notADatabase(store:problem:)`` when the file does not begin as one does that has a
    ///   commit: it was emptied under way.
    func requireCommitted(_ db: Database) throws {
        guard let file = OpenedFile(db, SQLITE_FCNTL_JOURNAL_POINTER) else { return }
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
        guard OpenedFile(db, SQLITE_FCNTL_FILE_POINTER)?.endOfCommits ?? 0 == 0,
            let file = OpenedFile(db, SQLITE_FCNTL_JOURNAL_POINTER),
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

    private var cutOff: TidemarkError {
        .notADatabase(
            store: store,
            problem: "its -wal file was cut off while it was open: end every process that uses it, and check what is "
                + "left of the newest commits")
    }
}

/// A file as a connection has it open.
private struct OpenedFile {
    private let pointer: UnsafeMutablePointer<sqlite3_file>
    private let methods: UnsafePointer<sqlite3_io_methods>

    /// Nil while the connection has none.
    ///
    /// - Parameter file: `SQLITE_FCNTL_FILE_POINTER` for the database, `SQLITE_FCNTL_JOURNAL_POINTER` for its `-wal`.
    init?(_ db: Database, _ file: Int32) {
        guard let connection = db.sqliteConnection else { return nil }
        var pointer: UnsafeMutablePointer<sqlite3_file>?
        guard
            sqlite3_file_control(connection, nil, file, &pointer) == SQLITE_OK,
            let pointer, let methods = pointer.pointee.pMethods
        else { return nil }
        self.pointer = pointer
        self.methods = methods
    }

    enum Reading {
        case whole
        /// The file ends before.
        case short
        /// It cannot be told.
        case failed
    }

    func read(into bytes: UnsafeMutableRawBufferPointer, at offset: Int64) -> Reading {
        switch ResultCode(rawValue: methods.pointee.xRead(pointer, bytes.baseAddress, Int32(bytes.count), offset)) {
        case .SQLITE_OK: .whole
        case .SQLITE_IOERR_SHORT_READ: .short
        default: .failed
        }
    }

    /// For the database: where the last committed frame of its `-wal` ends, as the index says that all processes share;
    /// 0 where there is none. Needs the write lock: then nobody changes it.
    ///
    /// The index is that of version 3007000, the only one there is. In its header, in the order of the machine's bytes,
    /// are the size of a page at 14 (1 for 65,536) and the number of the last frame at 16; a frame has 24 bytes before
    /// its page, the file 32 before the first frame (https://www.sqlite.org/walformat.html#walidxfmt).
    var endOfCommits: Int64? {
        var header: UnsafeMutableRawPointer?
        guard methods.pointee.iVersion >= 2, let map = methods.pointee.xShmMap else { return nil }
        guard map(pointer, 0, 32 * 1024, 0, &header) == SQLITE_OK, let header, header.load(as: UInt32.self) == 3_007_000
        else { return nil }
        let size = header.load(fromByteOffset: 14, as: UInt16.self)
        let frames = header.load(fromByteOffset: 16, as: UInt32.self)
        return frames == 0 ? 0 : 32 + Int64(frames) * (24 + (size == 1 ? 65_536 : Int64(size)))
    }
}

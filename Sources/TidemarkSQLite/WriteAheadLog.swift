import GRDB
import GRDBSQLite
import Synchronization
import Tidemark

/// The `-wal` file beside a database, watched by a process that writes to it: whether it still is what SQLite takes it
/// for.
///
/// SQLite keeps in shared memory which pages the file has, and does not look again. Where somebody else cuts the file
/// off, a commit would go beyond its end, be acknowledged, and be gone after the next crash, because recovery ends at
/// the gap (https://www.sqlite.org/walformat.html). The file only grows until SQLite starts it again with another
/// header, or empties it, and the first commit after that writes a header.
///
/// It is looked at through the file that SQLite has open: two short system calls in each transaction, and three when
/// somebody has made it shorter.
final class WriteAheadLog: Sendable {
    /// The 32 bytes at the beginning, which have a salt that is another one whenever the file starts again.
    private struct Header {
        var bytes: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

        /// Whether it begins as every such file does that has a commit: 0x377F0682 or 0x377F0683.
        var isOfCommits: Bool { UInt32(truncatingIfNeeded: UInt64(bigEndian: bytes.0) >> 32) & ~1 == 0x377F_0682 }
    }

    private struct Contents {
        var header: Header
        var size: Int64
    }

    private let store: String
    /// As this process left it.
    private let left = Mutex<Contents?>(nil)

    /// - Parameter store: the path of the database.
    init(ofDatabase store: String) {
        self.store = store
    }

    /// In a transaction that has the write lock, before anything is written.
    ///
    /// - Throws: ``TidemarkError/notADatabase(store:problem:)`` when the file is shorter than this process left it.
    func requireWhole(_ db: Database) throws {
        guard let left = left.withLock({ $0 }), let file = File(db), let size = file.size else { return }
        if size < left.size, file.header.bytes == left.header.bytes { throw cutOff }
    }

    /// After a commit that wrote something, and before it is acknowledged.
    ///
    /// - Throws: ``TidemarkError/notADatabase(store:problem:)`` when the file has no header.
    func requireCommitted(_ db: Database) throws {
        guard let file = File(db), let size = file.size else { return }
        let now = Contents(header: file.header, size: size)
        // An empty one: SQLite had emptied it, and what was changed was taken back in a savepoint.
        guard now.size == 0 || now.header.isOfCommits else { throw cutOff }
        left.withLock { $0 = now }
    }

    private var cutOff: TidemarkError {
        .notADatabase(
            store: store,
            problem: "its -wal file was cut off while it was open: end every process that uses it, and check what is "
                + "left of the newest commits")
    }

    /// The file as a connection has it open. Nil while it has none.
    private struct File {
        private let pointer: UnsafeMutablePointer<sqlite3_file>
        private let methods: UnsafePointer<sqlite3_io_methods>

        init?(_ db: Database) {
            guard let connection = db.sqliteConnection else { return nil }
            var pointer: UnsafeMutablePointer<sqlite3_file>?
            guard
                sqlite3_file_control(connection, "main", SQLITE_FCNTL_JOURNAL_POINTER, &pointer) == SQLITE_OK,
                let pointer, let methods = pointer.pointee.pMethods
            else { return nil }
            self.pointer = pointer
            self.methods = methods
        }

        /// Nil when it cannot be told.
        var size: Int64? {
            var size: Int64 = 0
            return methods.pointee.xFileSize(pointer, &size) == SQLITE_OK ? size : nil
        }

        /// Zeros where the file has no such bytes.
        var header: Header {
            var header = Header()
            let code = withUnsafeMutableBytes(of: &header.bytes) { bytes in
                methods.pointee.xRead(pointer, bytes.baseAddress, Int32(bytes.count), 0)
            }
            return code == SQLITE_OK ? header : Header()
        }
    }
}

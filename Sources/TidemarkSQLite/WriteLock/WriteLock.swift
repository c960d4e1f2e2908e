#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif
import GRDB
import GRDBSQLite
import Tidemark

/// SQLite's write lock of a database, which one transaction of all processes has at a time.
struct WriteLock: Sendable {
    private let path: String
    private let files: OpenFiles
    private let errors: SQLiteErrors
    private let busyTimeoutMilliseconds: Int32

    init(ofDatabase path: String, files: OpenFiles, errors: SQLiteErrors) {
        self.path = path
        self.files = files
        self.errors = errors
        busyTimeoutMilliseconds = Int32(clamping: Int64(errors.busyTimeout / .milliseconds(1)))
    }

    /// Begins a transaction that has the lock; false where somebody else has it, and then nothing was done.
    ///
    /// SQLite's own busy handler would wait for one job alone.
    ///
    /// - Throws: ``TidemarkError``.
    func takeIfFree(_ db: Database) throws -> Bool {
        do {
            // GRDB's own `beginTransaction` has its statement parsed each time.
            try withoutWaiting(db) { try Query.run(db, "BEGIN IMMEDIATE") }
            return true
        } catch let error as DatabaseError where error.resultCode == .SQLITE_BUSY {
            // Writes into a file that has no name any more are lost, whichever process has its lock.
            try requireInPlace()
            return false
        } catch {
            try requireInPlace()
            throw errors.tidemarkError(error)
        }
    }

    /// Runs `body`, whose statements fail where somebody else's locks are in their way.
    func withoutWaiting(_ db: Database, _ body: () throws -> Void) throws {
        // Where there is no connection any more, a statement says so: SQLite itself does not look.
        guard let connection = db.sqliteConnection else { return try body() }
        sqlite3_busy_timeout(connection, 0)
        defer { sqlite3_busy_timeout(connection, busyTimeoutMilliseconds) }
        try body()
    }

    /// The error of a job that waited for the lock in vain.
    func heldError(_ db: Database) -> any Error {
        errors.tidemarkError(DatabaseError(resultCode: .SQLITE_BUSY), holder: { nameHolder(db) })
    }

    /// The error of a job that waited in vain for a transaction of this process.
    var ownTransactionError: any Error {
        errors.tidemarkError(
            DatabaseError(resultCode: .SQLITE_BUSY), holder: { "a transaction of this process (\(getpid()))" })
    }

    /// - Throws: ``TidemarkError/databaseReplaced(store:)``.
    private func requireInPlace() throws {
        guard files.areInPlace else { throw TidemarkError.databaseReplaced(store: path) }
    }

    /// "instance p1 (process 4711)", or less where less is known; nil where nobody has it, or that cannot be told.
    func nameHolder(_ db: Database) -> String? {
        WriteLockHolder.processID(ofDatabase: path).map { DatabaseProcess.description(of: $0, db) }
    }
}

import GRDB
import GRDBSQLite
import Tidemark

extension SQLiteEventStore {
    /// - Parameters:
    ///   - waiting: whether SQLite's lock is waited for.
    ///   - isOwn: whether the body is the user's: then GRDB is told when the transaction begins and ends, for those who
    ///     observe it.
    func transaction<Value>(
        _ db: Database, waiting: Bool = true, isOwn: Bool = false, _ body: (Database) throws -> Value
    ) throws -> Value {
        if writes.isReadOnly { throw TidemarkError.readOnly(store: path) }
        do {
            if isOwn { try db.beginTransaction(.immediate) } else { try begin(db, waiting: waiting) }
            do {
                try log.requireWhole(db)
                let before = db.changedRows
                let value = try body(db)
                try requireInPlace()
                if isOwn { try db.commit() } else { try Query.run(db, "COMMIT") }
                if db.changedRows != before {
                    try log.requireCommitted(db)
                    // Somebody may have taken the files away in between: then it is not there for anybody else.
                    try requireInPlace()
                }
                return value
            } catch {
                // Does nothing where SQLite has rolled back by itself, as it does on a full disk.
                try db.rollback()
                throw error
            }
        } catch {
            try requireInPlace()
            throw errors.tidemarkError(error, holder: { self.nameWriteLockHolder(db) })
        }
    }

    /// Somebody has SQLite's lock: nothing was done.
    struct LockNotFree: Error {}

    /// - Throws: ``LockNotFree`` where it is not to be waited for.
    private func begin(_ db: Database, waiting: Bool) throws {
        // GRDB's own `beginTransaction` and `commit` have their statements parsed each time.
        // Where there is no connection any more, the statement says so: SQLite itself does not look.
        guard !waiting, let connection = db.sqliteConnection else {
            try Query.run(db, "BEGIN IMMEDIATE")
            return
        }
        sqlite3_busy_timeout(connection, 0)
        defer { sqlite3_busy_timeout(connection, busyTimeoutMilliseconds) }
        do {
            try Query.run(db, "BEGIN IMMEDIATE")
        } catch let error as DatabaseError where error.resultCode == .SQLITE_BUSY {
            throw LockNotFree()
        }
    }

    /// Moves what the `-wal` holds into the database file, as far as nobody stands in the way, and waits for nobody. It
    /// is what leaves one whole file where the last one out only reads: such a connection cannot do it.
    func emptyLog() async {
        // Where it fails, everything is in the `-wal` still.
        try? await withWriter { db in
            guard let connection = db.sqliteConnection else { return }
            sqlite3_busy_timeout(connection, 0)
            defer { sqlite3_busy_timeout(connection, self.busyTimeoutMilliseconds) }
            // First what others can write beside; the second one keeps them waiting, and has little left to do.
            try db.execute(sql: "PRAGMA wal_checkpoint(PASSIVE)")
            try db.execute(sql: "PRAGMA wal_checkpoint(TRUNCATE)")
        }
    }

    /// "instance p1 (process 4711)", or less where less is known.
    private func nameWriteLockHolder(_ db: Database) -> String? {
        guard let processID = WriteLockHolder.processID(ofDatabase: path) else { return nil }
        let instances = try? Query.all(
            db,
            "SELECT DISTINCT instance FROM tidemark_instances WHERE process_id = ? AND is_member = 1 ORDER BY instance",
            Int(processID)
        ) { $0.text(0) }
        guard let instances, !instances.isEmpty else { return "process \(processID)" }
        return "instance\(instances.count == 1 ? "" : "s") \(instances.joined(separator: ", ")) (process \(processID))"
    }
}

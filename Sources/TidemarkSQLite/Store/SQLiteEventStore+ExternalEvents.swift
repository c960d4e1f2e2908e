import GRDB
import Tidemark

extension SQLiteEventStore {
    /// Runs `body` in a transaction for tables of the user's own, in the database that has the stream's. It takes its
    /// turn with the writers of all processes, has the write lock from the start, and is durable when this returns;
    /// when this throws, nothing of it was written. A task that is cancelled does not stop it.
    ///
    /// The body runs on a thread of its own, and every other writer of the database waits for it. It leaves tables
    /// whose names begin with `tidemark_` alone.
    ///
    /// - Throws: what the body throws; `TidemarkError.writeLockHeld(store:by:limit:)`,
    ///   `TidemarkError.storeFull(store:)`, `TidemarkError.databaseReplaced(store:)`,
    ///   `TidemarkError.storeUnavailable(store:problem:)`. An error of a statement of the body, such as a constraint
    ///   that does not hold, is GRDB's `DatabaseError`.
    public func write<Value: Sendable>(
        _ body: @escaping @Sendable (Database) throws -> Value
    ) async throws -> Value {
        try await keepingStatementErrors {
            try await transact(isByUser: true, mayBeWithdrawn: false, StatementError.marking(body))
        }
    }

    /// Runs `body` in one snapshot, opened after the call, for tables of the user's own.
    ///
    /// - Throws: as ``write(_:)``; nothing can be written.
    public func read<Value: Sendable>(_ body: @escaping @Sendable (Database) throws -> Value) async throws -> Value {
        try await keepingStatementErrors { try await inSnapshot(StatementError.marking(body)) }
    }

    private func keepingStatementErrors<Value: Sendable>(_ run: () async throws -> Value) async throws -> Value {
        do {
            return try await run()
        } catch let error as StatementError {
            throw error.error
        }
    }
}

/// An error of a statement of the user's own, which says nothing about the store.
struct StatementError: Error {
    let error: DatabaseError

    static func marking<Value>(
        _ body: @escaping @Sendable (Database) throws -> Value
    ) -> @Sendable (Database) throws -> Value {
        { db in
            do {
                return try body(db)
            } catch let error as DatabaseError where isOfStatement(error) {
                throw StatementError(error: error)
            }
        }
    }

    private static func isOfStatement(_ error: DatabaseError) -> Bool {
        switch error.resultCode {
        case .SQLITE_ERROR, .SQLITE_CONSTRAINT, .SQLITE_MISMATCH, .SQLITE_TOOBIG, .SQLITE_RANGE, .SQLITE_MISUSE,
            .SQLITE_AUTH, .SQLITE_ABORT:
            true
        default: false
        }
    }
}

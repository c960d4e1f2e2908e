import GRDB
import Tidemark

/// COMMIT failed on the disk: what it wrote may be revived by a recovery, unless something else is written in its place.
struct UnknownCommit: Error {
    let error: DatabaseError
}

/// What an error of SQLite means to a user of the store.
struct SQLiteErrors: Sendable {
    let store: String
    let busyTimeout: Duration
    var readTimeout = Duration.seconds(5)
    /// Whether the file was opened as a database in this process.
    private(set) var wasOpened = false

    /// For what is done with the database once it is open.
    var afterOpening: SQLiteErrors {
        var errors = self
        errors.wasOpened = true
        return errors
    }

    /// The error for a caller who reads; `holder` names who lets nobody read, and is asked only where somebody does.
    func readError(_ error: any Error, holder: () -> String? = { nil }) -> any Error {
        guard let code = (error as? DatabaseError)?.resultCode, code == .SQLITE_BUSY || code == .SQLITE_LOCKED else {
            return tidemarkError(error)
        }
        return TidemarkError.lockedForReading(store: store, by: holder(), limit: readTimeout)
    }

    /// The error for a caller; `holder` names who holds the write lock, and is asked only where somebody does.
    func tidemarkError(_ error: any Error, holder: () -> String? = { nil }) -> any Error {
        if let name = error as? InvalidName {
            return TidemarkError.notADatabase(store: store, problem: "it holds a name that is not valid: \(name)")
        }
        if let unknown = error as? UnknownCommit { return tidemarkError(unknown.error) }
        guard let error = error as? DatabaseError else { return error }
        let problem = error.message ?? "SQLite error \(error.extendedResultCode.rawValue)"
        switch error.resultCode {
        case .SQLITE_FULL:
            return TidemarkError.storeFull(store: store)
        case .SQLITE_READONLY:
            return TidemarkError.readOnly(store: store)
        case .SQLITE_NOTADB where wasOpened:
            // It was one, and SQLite does not write anything else to it.
            return TidemarkError.databaseReplaced(store: store)
        case .SQLITE_NOTADB, .SQLITE_CORRUPT:
            let copying = wasOpened ? "" : ", or it is being copied just now: then try again after that"
            return TidemarkError.notADatabase(store: store, problem: problem + copying)
        case .SQLITE_BUSY, .SQLITE_LOCKED:
            return TidemarkError.writeLockHeld(store: store, by: holder(), limit: busyTimeout)
        case .SQLITE_INTERRUPT:
            // Only reads are ever interrupted, when their task is cancelled.
            return CancellationError()
        default:
            return TidemarkError.storeUnavailable(store: store, problem: problem)
        }
    }
}

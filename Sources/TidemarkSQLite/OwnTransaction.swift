import GRDB
import GRDBSQLite
import Tidemark

/// A transaction of the user's own that may commit stream IDs, or move a checkpoint.
struct OwnTransaction {
    let db: Database
    let store: SQLiteEventStore

    /// - Throws: `TidemarkError.unsuitableTransaction(store:problem:)`.
    init(_ db: Database, of store: any EventStore) throws {
        guard let store = store as? SQLiteEventStore else {
            throw TidemarkError.unsuitableTransaction(store: "\(store)", problem: "the log's store is not SQLite's")
        }
        func unsuitable(_ problem: String) -> TidemarkError {
            .unsuitableTransaction(store: store.path, problem: problem)
        }
        guard db.isInsideTransaction else { throw unsuitable("there is no transaction") }
        let path = sqlite3_db_filename(db.sqliteConnection, "main").map { String(cString: $0) } ?? ""
        guard FileIdentity(path: path) == store.files.database else {
            throw unsuitable("the main database of its connection is another file, \"\(path)\"")
        }
        guard FileIdentity(path: path + "-wal") == FileIdentity(path: store.path + "-wal") else {
            throw unsuitable(
                "its connection knows the file under another name, \"\(path)\", which has a -wal of its own: open it "
                    + "under this one")
        }
        let synchronous = try Query.first(db, "PRAGMA synchronous") { $0.number(0) } ?? 0
        guard synchronous >= 2 else {
            throw unsuitable(
                "its connection has PRAGMA synchronous = \(synchronous), and a power cut may take back what it commits: "
                    + "set it to FULL before the transaction begins")
        }
        #if canImport(Darwin)
        guard try Query.first(db, "PRAGMA fullfsync", { $0.number(0) }) == 1 else {
            throw unsuitable(
                "its connection has PRAGMA fullfsync = OFF, and a power cut may take back what it commits on macOS: set it "
                    + "to ON before the transaction begins")
        }
        #endif
        self.db = db
        self.store = store
    }
}

/// Makes a transaction impossible to commit: SQLite asks before each commit, and rolls back when the answer is an
/// error.
final class RefusedTransaction: TransactionObserver {
    private let error: any Error

    private init(_ error: any Error) { self.error = error }

    static func refuse(_ db: Database, because error: any Error) {
        guard db.isInsideTransaction, !db.configuration.readonly else { return }
        db.add(transactionObserver: RefusedTransaction(error), extent: .nextTransaction)
    }

    func databaseWillCommit() throws { throw error }

    func observes(eventsOfKind eventKind: DatabaseEventKind) -> Bool { false }
    func databaseDidChange(with event: DatabaseEvent) {}
    func databaseDidCommit(_ db: Database) {}
    func databaseDidRollback(_ db: Database) {}
}

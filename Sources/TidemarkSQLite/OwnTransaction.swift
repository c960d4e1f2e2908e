import GRDB
import GRDBSQLite
import Synchronization
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

    /// Gives what is committed now its number. Others of the transaction, in this stream too, have the same random bits,
    /// and of each stream the commit before the transaction is remembered.
    func number(_ state: inout WriterState) {
        let found = state.previousCommit
        (state.previousCommit, state.nextCommit) = NumberedTransaction.of(db).numbers(
            for: state.streamRow, after: found)
    }
}

/// The numbers of the commits in a transaction of the user's own, which may be several: it is known as one by them, see
/// ``LogOrigin``.
private final class NumberedTransaction: TransactionObserver {
    private static let running = Mutex<[ObjectIdentifier: Running]>([:])

    private struct Running {
        /// A connection that is gone may leave its address to another one.
        let connection: Connection
        let mark: Int64
        /// By stream, what the database had before.
        var previous: [Int64: Int64] = [:]
    }

    /// `@unchecked`: it is asked for its identity alone, which a weak reference says on any thread.
    private final class Connection: @unchecked Sendable {
        private weak var db: Database?

        init(_ db: Database) { self.db = db }

        func isStill(_ id: ObjectIdentifier) -> Bool { db.map { ObjectIdentifier($0) == id } ?? false }
    }

    private let id: ObjectIdentifier

    private init(_ db: Database) { id = ObjectIdentifier(db) }

    static func of(_ db: Database) -> NumberedTransaction {
        let transaction = NumberedTransaction(db)
        let (id, connection) = (transaction.id, Connection(db))
        let isNew = running.withLock { running in
            if running[id]?.connection.isStill(id) == true { return false }
            // Those that were closed in the middle of a transaction told nobody.
            running = running.filter { $0.value.connection.isStill($0.key) }
            running[id] = Running(connection: connection, mark: CommitNumber.makeMark())
            return true
        }
        if isNew { db.add(transactionObserver: transaction, extent: .nextTransaction) }
        return transaction
    }

    func numbers(for stream: Int64, after found: Int64) -> (previous: Int64, next: Int64) {
        Self.running.withLock { running in
            let mark = running[id]?.mark ?? CommitNumber.makeMark()
            let previous = running[id]?.previous[stream] ?? found
            running[id]?.previous[stream] = previous
            return (previous, CommitNumber.next(after: found, mark: mark))
        }
    }

    func observes(eventsOfKind eventKind: DatabaseEventKind) -> Bool { false }
    func databaseDidChange(with event: DatabaseEvent) {}
    func databaseDidCommit(_ db: Database) { Self.running.withLock { $0[id] = nil } }
    func databaseDidRollback(_ db: Database) { Self.running.withLock { $0[id] = nil } }
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

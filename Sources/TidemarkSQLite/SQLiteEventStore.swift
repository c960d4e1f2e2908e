import Dispatch
import GRDB
import Synchronization
import Tidemark

/// The embedded store: the events of several streams in one SQLite file, which all processes of a machine may share.
///
/// Reads see a fresh snapshot each and never wait for a writer. Writes take turns, with those of other processes too,
/// and are durable when they return (`synchronous=FULL`). A task that is cancelled does not stop a write that it began:
/// the caller always learns what became of it.
public final class SQLiteEventStore: EventStore {
    /// The database, absolute and without symbolic links.
    public var path: String { file.path }
    /// The folder beside the database, for its owner alone: lock files, and the socket of the processes that share the
    /// database. A store that only reads does not make it.
    public var directory: String { file.directory }

    public var description: String { path }

    let file: DatabaseFile
    let configuration: SQLiteConfiguration
    let errors: SQLiteErrors
    private let pool: DatabasePool
    let writes: WriteQueue
    private let heartbeats = HeartbeatQueue()
    let processFile: ProcessFile

    /// Opens the database, and makes it, its schema and the folder beside it where the configuration says so.
    ///
    /// Any number of processes may do so at once.
    ///
    /// - Throws: ``TidemarkError/storeUnavailable(store:problem:)`` when it cannot be opened or is not there,
    ///   ``TidemarkError/notADatabase(store:problem:)``, ``TidemarkError/schemaTooNew(store:found:supported:)``,
    ///   ``TidemarkError/writeLockHeld(store:by:limit:)``, ``TidemarkError/storeFull(store:)``.
    public static func open(
        path: String, configuration: SQLiteConfiguration = .init()
    ) async throws -> SQLiteEventStore {
        try await open(path: path, configuration: configuration, migrations: .current)
    }

    static func open(
        path: String, configuration: SQLiteConfiguration, migrations: SchemaMigrations
    ) async throws -> SQLiteEventStore {
        try await blocking {
            let opening = try Opening(path: path, configuration: configuration, migrations: migrations)
            return SQLiteEventStore(opening: opening, pool: try opening.makePool(), turn: try opening.makeTurn())
        }
    }

    private init(opening: Opening, pool: DatabasePool, turn: WriteTurn?) {
        file = opening.file
        configuration = opening.configuration
        errors = opening.errors
        self.pool = pool
        writes = WriteQueue(pool: pool, turn: turn, fairnessTimeout: opening.configuration.fairnessTimeout)
        processFile = ProcessFile(directory: opening.file.directory)
    }

    /// Closes the file after what is under way; everything that is asked later throws
    /// ``TidemarkError/storeUnavailable(store:problem:)``. A store that is not closed is when nobody holds it any more.
    public func close() async {
        // Closing fails only while a statement runs, and none does: the pool waits for its reads and writes. Where it
        // fails all the same, the connections go with the store.
        try? await blocking { [pool] in try pool.close() }
        processFile.release()
    }

    // MARK: Access

    /// Runs `body` in one snapshot.
    func read<Value: Sendable>(_ body: @Sendable (Database) throws -> Value) async throws -> Value {
        do {
            return try await pool.read(body)
        } catch {
            throw errors.tidemarkError(error)
        }
    }

    /// Runs `body` in a transaction of its own that has the write lock from the start; when this returns, the
    /// transaction is durable, and when it throws, nothing of it was written.
    func write<Value: Sendable>(_ body: @escaping @Sendable (Database) throws -> Value) async throws -> Value {
        let here: Result<Value, any Error>? = writes.runHere { db in
            do {
                return try .success(self.transaction(db, waiting: false, body))
            } catch is LockNotFree {
                return nil
            } catch {
                return .failure(error)
            }
        }
        if let here { return try here.get() }
        // A continuation and not GRDB's own asynchronous method: that one rolls back when its task is cancelled, and
        // the caller could not tell whether the commit was before that.
        return try await withCheckedThrowingContinuation { continuation in
            writes.run { db in
                let result = Result { try self.transaction(db, body) }
                return { continuation.resume(with: result) }
            }
        }
    }

    /// Merges heartbeats that wait for their turn into one transaction.
    func writeHeartbeats(_ beats: [Heartbeat]) async throws -> [HeartbeatAnswer] {
        try await withCheckedThrowingContinuation { continuation in
            guard heartbeats.add(.init(beats: beats, continuation: continuation)) else { return }
            writes.run { db in
                let write = HeartbeatWrite(
                    store: self.path, now: self.configuration.wallClockMilliseconds(),
                    processFile: self.processFile.name())
                self.heartbeats.write(write) { body in try self.transaction(db, body) }
                return {}
            }
        }
    }

    /// The writer's connection without a transaction, for tests.
    func withWriter<Value: Sendable>(_ body: @escaping @Sendable (Database) throws -> Value) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            writes.runWithoutTurn { db in continuation.resume(with: Result { try body(db) }) }
        }
    }
}

/// Runs what blocks on a thread that is not one of Swift's pool.
func blocking<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        DispatchQueue.global().async {
            continuation.resume(with: Result { try body() })
        }
    }
}

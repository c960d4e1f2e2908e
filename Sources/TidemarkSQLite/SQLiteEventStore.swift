import Dispatch
import Foundation
import GRDB
import Synchronization
import Tidemark

/// The embedded store: the events of several streams in one SQLite file, which all processes of a machine may share.
///
/// Reads see a fresh snapshot each and never wait for a writer. Writes take turns, with those of other processes too,
/// and are durable when they return (`synchronous=FULL`). A task that is cancelled does not stop a write that it began:
/// the caller always learns what became of it.
public final class SQLiteEventStore: ImmediateEventStore {
    /// The database, absolute and without symbolic links.
    public var path: String { file.path }
    /// The folder beside the database, for its owner alone: lock files, and the socket of the processes that share the
    /// database. A store that only reads does not make it.
    public var directory: String { file.directory }

    public var description: String { path }

    let file: DatabaseFile
    let configuration: SQLiteConfiguration
    let busyTimeoutMilliseconds: Int32
    let errors: SQLiteErrors
    let files: OpenFiles
    private let pool: DatabasePool
    let writes: WriteQueue
    private let heartbeats = HeartbeatQueue()
    let log: WriteAheadLog
    let processFile: ProcessFile
    let commits = Mutex(OwnCommits())

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
            let (pool, files) = try opening.makePool()
            return SQLiteEventStore(
                opening: opening, pool: pool, files: files, turn: try opening.makeTurn())
        }
    }

    private init(opening: Opening, pool: DatabasePool, files: OpenFiles, turn: WriteTurn?) {
        file = opening.file
        self.files = files
        configuration = opening.configuration
        busyTimeoutMilliseconds = Int32(clamping: Int64(opening.configuration.busyTimeout / .milliseconds(1)))
        errors = opening.errors
        self.pool = pool
        log = WriteAheadLog(ofDatabase: opening.file.path)
        writes = WriteQueue(pool: pool, turn: turn, fairnessTimeout: opening.configuration.fairnessTimeout)
        processFile = ProcessFile(directory: opening.file.directory)
    }

    /// Closes the file after what is under way; everything that is asked later throws
    /// ``TidemarkError/storeUnavailable(store:problem:)``. A store that is not closed is when nobody holds it any more, a
    /// second after its last write, or when the turn comes that it still waits for.
    ///
    /// Whoever closes a database last, of all processes, leaves one whole file: everything is in it, and there is no
    /// `-wal` beside it.
    public func close() async {
        await writes.finish()
        try? await blocking { [self] in
            // Of two that close at the same time each would take the other for one that stays.
            let lock = configuration.readOnly ? nil : try? file.openLock()
            for _ in 0..<500 where lock?.tryLock() == false { Thread.sleep(forTimeInterval: 0.002) }
            defer { lock?.unlock() }
            // The connection that writes is to be the last one, and GRDB closes it first: only that one can move what
            // the `-wal` holds into the file.
            pool.invalidateReadOnlyConnections()
            // Closing fails only while a statement runs, and none does: the pool waits for its reads and writes. Where
            // it fails all the same, the connections go with the store.
            try pool.close()
            files.close()
        }
        processFile.release()
    }

    // MARK: Access

    /// Runs `body` in one snapshot.
    func inSnapshot<Value: Sendable>(_ body: @Sendable (Database) throws -> Value) async throws -> Value {
        let value: Value
        do {
            value = try await pool.read(body)
        } catch {
            try requireInPlace()
            throw errors.tidemarkError(error)
        }
        // Afterwards: the pool may have opened another connection for it, of whatever has the name now.
        try requireInPlace()
        return value
    }

    /// What a process that goes on with a file that has no name any more writes is lost to everyone else.
    ///
    /// - Throws: ``TidemarkError/databaseReplaced(store:)``.
    func requireInPlace() throws {
        guard files.areInPlace else { throw TidemarkError.databaseReplaced(store: path) }
    }

    /// Runs `body` in a transaction of its own that has the write lock from the start; when this returns, the
    /// transaction is durable, and when it throws, nothing of it was written.
    ///
    /// - Parameters:
    ///   - isOwn: whether the body is the user's. It never runs on its caller's thread.
    ///   - mayRunHere: whether it may run on its caller's thread, as far as ``CallerThreadUse`` allows.
    func transact<Value: Sendable>(
        isOwn: Bool = false, mayRunHere: Bool = true, _ body: @escaping @Sendable (Database) throws -> Value
    ) async throws -> Value {
        if !isOwn, mayRunHere, let here = transactHere(body) { return try here.get() }
        // A continuation and not GRDB's own asynchronous method: that one rolls back when its task is cancelled, and
        // the caller could not tell whether the commit was before that.
        return try await withCheckedThrowingContinuation { continuation in
            writes.run { db in
                let result = Result { try self.transaction(db, isOwn: isOwn, body) }
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
            writes.run { db in
                let result = Result { try body(db) }
                return { continuation.resume(with: result) }
            }
        }
    }

    /// Nil where the transaction has to wait, and did not run.
    func transactHere<Value>(_ body: (Database) throws -> Value) -> Result<Value, any Error>? {
        writes.runHere { db in
            do {
                return try .success(self.transaction(db, waiting: false, body))
            } catch is LockNotFree {
                return nil
            } catch {
                return .failure(error)
            }
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

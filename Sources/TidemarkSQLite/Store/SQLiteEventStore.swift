import Dispatch
import Foundation
import GRDB
import Synchronization
import Tidemark

/// The embedded store: the events of several streams in one SQLite file, which all processes of a machine may share.
///
/// Reads see a fresh snapshot each and never wait for a writer. Writes take turns, with those of other processes too,
/// and are durable when they return (`synchronous=FULL`). Each waits for as long as
/// ``SQLiteConfiguration/busyTimeout`` says, counted from when it was handed in. A task that is cancelled takes a write
/// that waits out of the queue; it does not stop one that has begun: the caller always learns what became of it.
public final class SQLiteEventStore: ImmediateEventStore {
    /// The database, absolute and without symbolic links.
    public var path: String { file.path }
    /// The folder beside the database, for its owner alone: lock files, and the socket of the processes that share the
    /// database. A store that only reads does not make it.
    public var directory: String { file.directory }

    public var description: String { path }

    /// Whether the SQLite of this process has a fault that can damage a database to which other programs write, or whose
    /// `-wal` they move, at the same time (https://www.sqlite.org/wal.html#walresetbug): 3.7.0 to 3.51.2, without 3.44.6
    /// and 3.50.7. Processes that use it through this library take turns and are safe.
    public static var hasWALResetFault: Bool { SQLiteVersion.current.hasWALResetFault }

    let file: DatabaseFile
    let configuration: SQLiteConfiguration
    let errors: SQLiteErrors
    let files: OpenFiles
    private let pool: DatabasePool
    let lock: WriteLock
    let writes: WriteQueue
    let heartbeats = HeartbeatQueue()
    let log: WriteAheadLog
    let contents: DatabaseContents
    let processFile: ProcessFile
    let commits = Mutex(OwnCommits())
    let heartbeatWrites = Atomic<Int>(0)

    /// Opens the database, and makes it, its schema and the folder beside it where the configuration says so.
    ///
    /// Any number of processes may do so at once.
    ///
    /// - Throws: `TidemarkError.storeUnavailable(store:problem:)` when it cannot be opened or is not there,
    ///   `TidemarkError.notADatabase(store:problem:)`, `TidemarkError.schemaTooNew(store:found:supported:)`,
    ///   `TidemarkError.writeLockHeld(store:by:limit:)`, `TidemarkError.storeFull(store:)`.
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
            if !configuration.readOnly { opening.reportVersion() }
            return SQLiteEventStore(
                opening: opening, pool: pool, files: files, turn: try opening.makeTurn())
        }
    }

    private init(opening: Opening, pool: DatabasePool, files: OpenFiles, turn: WriteTurn?) {
        file = opening.file
        self.files = files
        configuration = opening.configuration
        errors = opening.errors.afterOpening
        self.pool = pool
        log = WriteAheadLog(ofDatabase: opening.file.path)
        contents = DatabaseContents(of: opening.file.path)
        let lock = WriteLock(ofDatabase: opening.file.path, files: files, errors: opening.errors.afterOpening)
        self.lock = lock
        writes = WriteQueue(
            pool: pool, store: opening.file.path, turn: turn, lock: lock,
            limits: .init(
                turn: min(opening.configuration.fairnessTimeout, opening.configuration.busyTimeout),
                wait: opening.configuration.busyTimeout))
        processFile = ProcessFile(directory: opening.file.directory, owner: opening.file.owner)
    }

    /// Closes the file after what is under way; everything that is asked later throws
    /// `TidemarkError.storeUnavailable(store:problem:)`. A store that is not closed is when nobody holds it any more, a
    /// second after its last write, or when the turn comes that it still waits for.
    ///
    /// The last process that closes a database leaves one whole file: everything is in it, and there is no `-wal` beside it.
    public func close() async {
        // What waits has its deadline, and nothing more is taken.
        await writes.finish()
        try? await blocking { [self] in
            // Two that close at the same time would each take the other for one that stays.
            let lock = configuration.readOnly ? nil : try? file.openLock()
            var attempts = 0
            while attempts < 500, lock?.tryLock() == false {
                attempts += 1
                Thread.sleep(forTimeInterval: 0.002)
            }
            defer { lock?.unlock() }
            let isIntact = isIntact
            // Closing fails only while a statement runs, and none does: the pool waits for its reads and writes. Where
            // it fails all the same, the connections go with the store.
            try pool.close()
            files.close()
            // GRDB closes the connection that writes first, and those that read leave the `-wal`.
            if isIntact { try file.removeLog(whereEmpty: configuration.readOnly) }
        }
        processFile.release()
    }

    /// Whether the files are what was opened: what the `-wal` holds must not be moved into a copy that somebody has put
    /// there. Where that cannot be told, the next one that opens them looks.
    private var isIntact: Bool {
        let stands = try? pool.read { db in
            let (areInPlace, stamp) = files.look
            guard areInPlace else { return false }
            try contents.requireUnchanged(db, stamp, log.checkpointState(db))
            return true
        }
        return stands ?? false
    }

    // MARK: Access

    /// Runs `body` in one snapshot.
    func inSnapshot<Value: Sendable>(_ body: @Sendable (Database) throws -> Value) async throws -> Value {
        do {
            return try await pool.read { db in
                let result = Result { try body(db) }
                // Afterwards: the pool may have opened another connection for it, of whatever has the name now. And what
                // was read while somebody wrote into the file is not to be used, nor why it could not be read.
                let (areInPlace, stamp) = files.look
                if files.hasMoved || !areInPlace { try requireInPlace() }
                try contents.requireUnchanged(db, stamp, log.checkpointState(db))
                return try result.get()
            }
        } catch {
            try requireInPlace()
            throw errors.readError(error, holder: nameExclusiveHolder)
        }
    }

    private func nameExclusiveHolder() -> String? {
        WriteLockHolder.exclusiveProcessID(ofDatabase: path).map(DatabaseProcess.description(of:))
    }

    /// A process may go on with a file that has no name any more; what it writes is lost to everyone else.
    ///
    /// - Throws: `TidemarkError.databaseReplaced(store:)`, `TidemarkError.storeUnavailable(store:problem:)`.
    func requireInPlace() throws {
        if files.hasMoved {
            throw TidemarkError.storeUnavailable(
                store: path,
                problem: "it was opened as a file to which nobody writes, and now somebody does: open it again")
        }
        guard files.areInPlace else { throw TidemarkError.databaseReplaced(store: path) }
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

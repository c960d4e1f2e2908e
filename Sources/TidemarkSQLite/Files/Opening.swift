#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif
import Dispatch
import Foundation
import GRDB
import Logging
import Synchronization
import Tidemark

/// Opens the connections of a store, one process after the other. Blocks its thread.
struct Opening: Sendable {
    let file: DatabaseFile
    let configuration: SQLiteConfiguration
    let errors: SQLiteErrors
    private let schema: Schema
    private let isOpen = IsOpen()
    private let deadline: DispatchTime
    /// The deadline of an opening that only has to read, because nothing is made.
    private let readDeadline: DispatchTime

    init(path: String, configuration: SQLiteConfiguration, migrations: SchemaMigrations) throws {
        file = try DatabaseFile(resolving: path)
        self.configuration = configuration
        errors = SQLiteErrors(
            store: file.path, busyTimeout: configuration.busyTimeout, readTimeout: configuration.readTimeout)
        schema = Schema(store: file.path, migrations: migrations)
        deadline = .now() + configuration.busyTimeout.inSeconds
        readDeadline = .now() + configuration.readTimeout.inSeconds
    }

    /// The connections, and the files that they have open.
    func makePool() throws -> (DatabasePool, OpenFiles) {
        let opened = try makeUnfinishedPool()
        isOpen.value.store(true, ordering: .releasing)
        return opened
    }

    private func makeUnfinishedPool() throws -> (DatabasePool, OpenFiles) {
        try file.checkReadable()
        guard file.exists || (configuration.createsDatabase && !configuration.readOnly) else {
            throw TidemarkError.storeUnavailable(store: file.path, problem: "there is no such file")
        }
        if configuration.readOnly {
            try file.requireNoLostLog()
            try requireOwnLog()
            let still = StillFile(file)
            return try inPlace(still) { try retryingBusy { try connect(still) } }
        }
        // Before anything is made beside it.
        if file.exists { try file.requireOneName() }
        if let permissions = try file.makeDirectory() {
            configuration.logger.warning(
                "others could enter the folder beside the database: it is its owner's alone again",
                metadata: ["folder": "\(file.directory)", "mode": "\(String(permissions, radix: 8))"])
        }
        // Turning WAL on and making the schema need locks of SQLite's that no busy handler waits for.
        let lock = try file.openLock()
        while !lock.tryLock() {
            try checkDeadline(TidemarkError.writeLockHeld(store: file.path, by: nil, limit: configuration.busyTimeout))
        }
        defer { lock.unlock() }
        try file.requireNoLostLog()
        try requireOwnLog()
        if !file.exists { try file.makeFile() }
        return try inPlace {
            try retryingBusy {
                let pool = try connect()
                try pool.writeWithoutTransaction { db in
                    // GRDB sets it to NORMAL when it turns WAL on: then a power cut may take back what was acknowledged.
                    try db.execute(sql: "PRAGMA synchronous = FULL")
                    // Otherwise it keeps the largest size that it ever had, after a reader of an old state for one.
                    try db.execute(sql: "PRAGMA journal_size_limit = \(WriteAheadLog.sizeLimit)")
                    try db.withoutCheckpoints { Result { try schema.prepare(db) } }.get()
                }
                // The connection that writes is never the last one then: it would move the `-wal` into whatever the file
                // is when it is closed, see `SQLiteEventStore.close`.
                try pool.read { _ = try schema.version(in: $0) }
                return pool
            }
        }
    }

    /// Before anything else reads the `-wal`, and by a connection that only reads: any other would move it into the
    /// database when it is closed.
    ///
    /// - Throws: ``TidemarkError/notADatabase(store:problem:)`` where it is not that of the database, or both together are
    ///   none.
    private func requireOwnLog() throws {
        var information = stat()
        guard stat(file.path + "-wal", &information) == 0, information.st_size > 0 else { return }
        var options = Configuration()
        options.label = "tidemark"
        options.readonly = true
        options.busyMode = .timeout(min(configuration.readTimeout, configuration.busyTimeout).inSeconds)
        let problem: String
        do {
            let isRight = try DatabaseQueue(path: file.path, configuration: options).read { try LogOrigin.isRight($0) }
            if isRight { return }
            problem = "its -wal is of another state of it, as when a backup is copied over it"
        } catch let error as DatabaseError where [.SQLITE_CORRUPT, .SQLITE_NOTADB].contains(error.resultCode) {
            // Pages of two states say nothing that SQLite understands. It must not put them together for good.
            problem =
                "\(error.message ?? "it cannot be read"), as when a backup is copied over it while there is a -wal of "
                + "another state, or is being copied just now"
        } catch {
            // Where it cannot be read, the next step that opens it says why.
            return
        }
        throw TidemarkError.notADatabase(
            store: file.path,
            problem: problem
                + ": put the file back that belongs to the -wal; or, where the backup is what you want, end "
                + "every process that uses it, remove its -wal and its -shm, and open it again")
    }

    /// The file that had the name before and after is the one that was opened in between.
    private func inPlace(
        _ still: StillFile? = nil, _ open: () throws -> DatabasePool
    ) throws -> (DatabasePool, OpenFiles) {
        try file.requireOneName()
        let before = file.identity
        let pool = try open()
        guard let identity = file.identity, before == nil || before == identity else {
            throw TidemarkError.databaseReplaced(store: file.path)
        }
        return (pool, OpenFiles(file.path, database: identity, still: still))
    }

    /// Says once, when a store is opened, what the version of SQLite may do to the database.
    func reportVersion(_ version: SQLiteVersion = .current) {
        guard version.hasWALResetFault else { return }
        configuration.logger.notice(
            """
            this version of SQLite can damage a database to which other programs write or whose -wal they move; processes \
            that use it through this library take turns and are safe: keep others away, or use SQLite 3.51.3
            """,
            metadata: ["sqlite": "\(version)", "database": "\(file.path)"])
    }

    func makeTurn() throws -> WriteTurn? {
        configuration.readOnly ? nil : try WriteTurn(directory: file.directory, owner: file.owner)
    }

    private func connect(_ still: StillFile? = nil) throws -> DatabasePool {
        var options = Configuration()
        options.label = "tidemark"
        options.readonly = configuration.readOnly
        // For reads alone: a write does not wait within SQLite.
        options.busyMode = .timeout(min(configuration.readTimeout, configuration.busyTimeout).inSeconds)
        let (schema, isOpen) = (schema, isOpen)
        let (creates, readOnly) = (configuration.createsDatabase, configuration.readOnly)
        // This runs before GRDB turns WAL on: a file that is refused stays as it is.
        options.prepareDatabase { db in
            // Elsewhere than on macOS, where `fsync` leaves it to the disk when it writes, this changes nothing.
            try db.execute(sql: "PRAGMA fullfsync = ON")
            // Connections for readers are opened when they are needed: the schema was there before.
            if isOpen.value.load(ordering: .acquiring), try schema.version(in: db) == nil {
                throw TidemarkError.databaseReplaced(store: schema.store)
            }
            try schema.check(db, creates: creates || db.configuration.readonly, readOnly: readOnly)
            // In a file that has nothing in it yet, so that it can give room back in small steps, without a VACUUM.
            if !readOnly, try Query.first(db, "SELECT 1 FROM sqlite_master LIMIT 1", row: { _ in true }) == nil {
                try db.execute(sql: "PRAGMA auto_vacuum = INCREMENTAL")
            }
        }
        do {
            return try DatabasePool(path: still?.uri ?? file.path, configuration: options)
        } catch let error as DatabaseError
            where error.resultCode == .SQLITE_CANTOPEN || (readOnly && error.resultCode == .SQLITE_READONLY)
        {
            throw file.problemBeside ?? error
        } catch let error as DatabaseError
            where error.resultCode == .SQLITE_BUSY && (readOnly || !creates) && DispatchTime.now() >= readDeadline
        {
            throw errors.readError(error, holder: nameExclusiveHolder)
        }
    }

    /// Other connections may be closing, or writing: where SQLite does not wait for them, this does.
    private func retryingBusy(_ open: () throws -> DatabasePool) throws -> DatabasePool {
        while true {
            do {
                return try open()
            } catch let error as DatabaseError where error.resultCode == .SQLITE_BUSY {
                try checkDeadline(errors.tidemarkError(error, holder: nameExclusiveHolder))
            } catch let error as DatabaseError where error.resultCode == .SQLITE_CANTOPEN && file.hasNoRoom {
                throw TidemarkError.storeFull(store: file.path)
            } catch {
                throw errors.tidemarkError(error)
            }
        }
    }

    private func nameExclusiveHolder() -> String? {
        WriteLockHolder.exclusiveProcessID(ofDatabase: file.path).map(DatabaseProcess.description(of:))
    }

    private func checkDeadline(_ error: any Error) throws {
        if DispatchTime.now() >= deadline { throw error }
        Thread.sleep(forTimeInterval: 0.002)
    }
}

/// Whether the database was opened, and had its schema.
private final class IsOpen: Sendable {
    let value = Atomic(false)
}

import GRDB
import Synchronization
public import Tidemark

/// What a backup has in it.
public struct SQLiteBackup: Hashable, Sendable {
    /// Absolute and without symbolic links.
    public let path: String
    /// How large the file is.
    public let bytes: Int64
    /// The newest ID of each stream's sequence: what was acknowledged before the backup began is at or below it, and there.
    public let streams: [StreamName: StreamID]
}

extension SQLiteEventStore {
    /// How many pages are copied between two looks at whether the task was cancelled.
    private static let pagesPerStep: CInt = 1_000

    /// Makes a consistent copy of the whole file, tables of the user's own included, while everything runs: it holds every
    /// event that was acknowledged before the call. It waits for no writer, and no writer waits for it; while it copies, the
    /// `-wal` of the database grows by what is written.
    ///
    /// The copy is checked (`PRAGMA integrity_check`, and the references of Tidemark's tables) before it gets its name. It is
    /// one whole file, for its owner alone. It is another database than this one: it has no ID, nobody is a member of its
    /// streams, and nobody has its consumers. The first process that joins it draws an ID for it, and begins epochs that this
    /// database has not had. So it can be opened where it is, beside this one, or be put in this one's place when all processes
    /// have been ended.
    ///
    /// When it throws, or is cancelled, nothing is left of it. A process that is killed leaves a file with `-draft` at the
    /// end of its name, which may be removed.
    ///
    /// - Parameter path: of a file that is not there yet, in a folder that is.
    /// - Throws: `TidemarkError.backupRefused(store:file:problem:)` for a file that is there, and for a name that belongs to the
    ///   database; `TidemarkError.storeFull(store:)`, `TidemarkError.storeUnavailable(store:problem:)`,
    ///   `TidemarkError.notADatabase(store:problem:)` where the copy does not pass its check, `CancellationError`.
    public func backUp(to path: String) async throws -> SQLiteBackup {
        let target = try await blocking { [file] in
            let target = try BackupFile(path, of: file)
            try target.makeDraft()
            return target
        }
        let isCancelled = Cancellation()
        do {
            return try await withTaskCancellationHandler {
                try await copy(to: target, isCancelled)
                return try await blocking { try Self.finish(target, isCancelled) }
            } onCancel: {
                isCancelled.cancel()
            }
        } catch {
            target.removeDraft()
            throw error
        }
    }

    private func copy(to target: BackupFile, _ isCancelled: Cancellation) async throws {
        try await inSnapshot { db in
            var options = Configuration()
            options.label = "tidemark.backup"
            // It is written to the disk when it is whole.
            options.prepareDatabase { try $0.execute(sql: "PRAGMA synchronous = OFF") }
            do {
                let copy = try DatabaseQueue(path: target.draft, configuration: options)
                try copy.writeWithoutTransaction { copied in
                    do {
                        try db.backup(to: copied, pagesPerStep: Self.pagesPerStep) { progress in
                            if !progress.isCompleted { try isCancelled.check() }
                        }
                    } catch {
                        throw target.error(error, copied)
                    }
                }
                try copy.close()
            } catch {
                throw target.error(error)
            }
        }
    }

    /// Makes the copy a database of its own, checks it, and gives it its name. Blocks.
    private static func finish(_ target: BackupFile, _ isCancelled: Cancellation) throws -> SQLiteBackup {
        let streams: [StreamName: StreamID]
        do {
            let copy = try DatabaseQueue(path: target.draft)
            try isCancelled.interrupts(copy)
            streams = try copy.writeWithoutTransaction { db in
                do {
                    try db.inTransaction(.immediate) {
                        try separate(db)
                        return .commit
                    }
                    try isCancelled.check()
                    try check(db, of: target)
                } catch {
                    throw target.error(error, db)
                }
                let rows = try Query.all(db, "SELECT name, sequence FROM tidemark_streams") {
                    (try StreamName(validating: $0.text(0)), $0.streamID(1))
                }
                return Dictionary(uniqueKeysWithValues: rows)
            }
            try copy.close()
        } catch {
            try isCancelled.check()
            throw target.error(error)
        }
        try isCancelled.check()
        let bytes = target.draftBytes
        try target.publish()
        return SQLiteBackup(path: target.file.path, bytes: bytes, streams: streams)
    }

    /// All epochs and claims are over: a process that goes on with the database itself is heard by nobody here.
    private static func separate(_ db: Database) throws {
        for statement: StatementText in [
            "UPDATE tidemark_schema SET database_id = NULL",
            """
            UPDATE tidemark_instances SET
                epoch = epoch + 1, is_member = 0, left_at = heartbeat_at,
                in_flight = 0, lowest_in_flight = NULL, in_flight_since = NULL, process_id = NULL, process_file = NULL
            WHERE is_member = 1
            """,
            """
            UPDATE tidemark_streams SET
                membership_version = membership_version + 1 + (random() & 0xfffff), previous_commit = commit_number
            """,
            """
            UPDATE tidemark_consumers SET
                generation = generation + 1 + (random() & 0xfffff), claim_key = NULL, holder_process_id = NULL,
                holder_process_file = NULL
            """,
            """
            UPDATE tidemark_partitions SET
                claim = claim + 1 + (random() & 0xfffff), owner = NULL, oldest_id = NULL, oldest_since = NULL
            """,
            "DELETE FROM tidemark_processes",
        ] {
            try Query.run(db, statement)
        }
    }

    private static func check(_ db: Database, of target: BackupFile) throws {
        let problems = try Query.all(db, "PRAGMA integrity_check(3)") { $0.text(0) }
        var findings = problems == ["ok"] ? [] : problems
        // The user's own tables may be as they like.
        findings += try Query.all(
            db,
            """
            SELECT m.name, count(*) FROM sqlite_master m, pragma_foreign_key_check(m.name)
            WHERE m.type = 'table' AND m.name GLOB 'tidemark_*' GROUP BY m.name
            """
        ) { "\($0.number(1)) rows of \($0.text(0)) belong to no stream" }
        guard !findings.isEmpty else { return }
        throw TidemarkError.notADatabase(
            store: target.source,
            problem: "a copy of it does not pass its check, and was removed: " + findings.joined(separator: "; "))
    }
}

/// Whether the task was cancelled, for what runs on other threads.
private final class Cancellation: Sendable {
    private struct State {
        var isCancelled = false
        var connection: DatabaseQueue?
    }

    private let state = Mutex(State())

    func cancel() {
        let connection = state.withLock { state in
            state.isCancelled = true
            return state.connection
        }
        connection?.interrupt()
    }

    func check() throws {
        if state.withLock({ $0.isCancelled }) { throw CancellationError() }
    }

    /// What runs on the connection ends when the task is cancelled.
    func interrupts(_ connection: DatabaseQueue) throws {
        state.withLock { $0.connection = connection }
        try check()
    }
}

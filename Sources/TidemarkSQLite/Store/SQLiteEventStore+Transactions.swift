import GRDB
import Synchronization
import Tidemark

extension SQLiteEventStore {
    /// Runs `body` in a transaction of its own that has the write lock from the start; when this returns, the
    /// transaction is durable, and when it throws, nothing of it was written.
    ///
    /// - Parameters:
    ///   - isByUser: whether the body is the user's. It never runs on its caller's thread.
    ///   - mayRunHere: whether it may run on its caller's thread, as far as ``CallerThreadUse`` allows.
    ///   - group: as in ``transaction(_:isByUser:group:_:)``.
    ///   - mayBeWithdrawn: whether it is taken out of the queue when its task is cancelled while it waits. What ends the
    ///     work of a task that is cancelled is not: it has its deadline.
    func transact<Value: Sendable>(
        isByUser: Bool = false, mayRunHere: Bool = true, mayBeWithdrawn: Bool = true, group: EventGroup? = nil,
        _ body: @escaping @Sendable (Database) throws -> Value
    ) async throws -> Value {
        if !isByUser, mayRunHere, let here = transactHere(group: group, body) { return try here.get() }
        // A continuation and not GRDB's own asynchronous method: that one rolls back when its task is cancelled, and
        // the caller could not tell whether the commit was before that.
        return try await queued(mayBeWithdrawn: mayBeWithdrawn) { continuation in
            { begun in
                let result = Result { try self.transaction(begun.get(), isByUser: isByUser, group: group, body) }
                return { continuation.resume(with: result) }
            }
        }
    }

    /// Puts a job into the queue and waits for what it resumes the continuation with.
    private func queued<Value: Sendable>(
        mayBeWithdrawn: Bool, _ job: (CheckedContinuation<Value, any Error>) -> WriteQueue.Job
    ) async throws -> Value {
        let ticket = WriteTicket(writes)
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                ticket.number = writes.run(waited: WriteWait.before, job(continuation))
                // A handler that came before found nothing to take out.
                if mayBeWithdrawn, Task.isCancelled { ticket.withdraw() }
            }
        } onCancel: {
            if mayBeWithdrawn { ticket.withdraw() }
        }
    }

    /// Merges heartbeats that wait for their turn into one transaction, which goes before what users asked for: a
    /// backlog must not have a healthy writer closed.
    func writeHeartbeats(_ beats: [Heartbeat]) async throws -> [HeartbeatAnswer] {
        let number = heartbeats.makeNumber()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let request = HeartbeatQueue.Request(
                    number: number, beats: beats, deadline: writes.deadline(), continuation: continuation)
                heartbeats.add(request, schedule: scheduleHeartbeats)
                if Task.isCancelled { withdrawHeartbeat(number) }
            }
        } onCancel: {
            withdrawHeartbeat(number)
        }
    }

    @Sendable private func scheduleHeartbeats(_ number: Int, until deadline: Duration) throws -> Int {
        try writes.add(isUrgent: true, deadline: deadline) { begun in
            let write = HeartbeatWrite(
                store: self.path, now: self.configuration.wallClockMilliseconds(), processFile: self.processFile.name())
            self.heartbeats.write(number, write, schedule: self.scheduleHeartbeats) { body in
                try self.transaction(begun.get()) { db in
                    let answers = try body(db)
                    try self.forgetNamesNowAndThen(in: db)
                    return answers
                }
            }
            return {}
        }
    }

    private func withdrawHeartbeat(_ number: Int) {
        if let job = heartbeats.withdraw(number) { writes.withdraw(job) }
    }

    /// The writer's connection without a transaction, for tests.
    func withWriter<Value: Sendable>(_ body: @escaping @Sendable (Database) throws -> Value) async throws -> Value {
        try await writes.withConnection(body)
    }

    /// Nil where the transaction has to wait, and did not run.
    func transactHere<Value>(
        group: EventGroup? = nil, _ body: (Database) throws -> Value
    ) -> Result<Value, any Error>? {
        writes.runHere { db in Result { try self.transaction(db, group: group, body) } }
    }

    /// Runs `body` in the transaction that has begun, and ends it.
    ///
    /// - Parameter isByUser: whether the body is the user's: then GRDB is told that the transaction ends, for those who
    ///   observe it.
    /// - Parameter group: what it persists: then a COMMIT that fails on the disk is an outcome that is not known.
    func transaction<Value>(
        _ db: Database, isByUser: Bool = false, group: EventGroup? = nil, _ body: (Database) throws -> Value
    ) throws -> Value {
        do {
            do {
                let (areInPlace, stamp) = files.look
                guard areInPlace else { throw TidemarkError.databaseReplaced(store: path) }
                try contents.requireUnchanged(db, stamp, log.requireWhole(db))
                // Every other transaction compares it in a statement that it makes anyway.
                if isByUser { try Schema.requireNewest(db, in: path) }
                let before = db.changedRows
                let value = try body(db)
                do {
                    // GRDB's own `commit` has its statement parsed each time.
                    if isByUser { try db.commit() } else { try Query.run(db, "COMMIT") }
                } catch let error as DatabaseError {
                    let told = Query.tellingFull(error, on: db.sqliteConnection)
                    // A constraint that was deferred says nothing about the store.
                    if isByUser, told.resultCode == .SQLITE_CONSTRAINT { throw StatementError(error: told) }
                    throw told.resultCode == .SQLITE_IOERR ? UnknownCommit(error: told) : told
                }
                if isByUser || db.changedRows != before {
                    try log.requireCommitted(db)
                    // Somebody may have taken the files away in between: then it is not there for anybody else.
                    try requireInPlace()
                }
                return value
            } catch {
                // A statement of the user's own may have found the disk full.
                let told = (error as? DatabaseError).map { Query.tellingFull($0, on: db.sqliteConnection) }
                // Does nothing where SQLite has rolled back by itself, as it does on a full disk.
                try db.rollback()
                throw told ?? error
            }
        } catch {
            try requireInPlace()
            if let group, let unknown = error as? UnknownCommit {
                throw TidemarkError.outcomeUnknown(
                    stream: group.stream, events: group.events.map(\.id),
                    problem: "COMMIT: \(errors.tidemarkError(unknown))")
            }
            throw errors.tidemarkError(error)
        }
    }

    /// Moves what the `-wal` holds into the database file, as far as nobody stands in the way, and waits for nobody. It
    /// is what leaves one whole file where the last one out only reads: such a connection cannot do it.
    func emptyLog() async {
        // Where it fails, everything is in the `-wal` still.
        try? await writes.withConnection { [lock] db in
            try lock.withoutWaiting(db) {
                // First what others can write beside; the second one keeps them waiting, and has little left to do.
                try db.execute(sql: "PRAGMA wal_checkpoint(PASSIVE)")
                try db.execute(sql: "PRAGMA wal_checkpoint(TRUNCATE)")
            }
        }
    }
}

/// The place of a job in the queue, for a cancellation that may come before the place is known.
private final class WriteTicket: Sendable {
    private let writes: WriteQueue
    private let value = Mutex<Int?>(nil)

    init(_ writes: WriteQueue) { self.writes = writes }

    var number: Int? {
        get { value.withLock { $0 } }
        set { value.withLock { $0 = newValue } }
    }

    func withdraw() {
        if let number { writes.withdraw(number) }
    }
}

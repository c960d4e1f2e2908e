import Dispatch
import Foundation
import GRDB
import Synchronization
import Tidemark

/// Runs transactions on the one connection that writes, one after the other, each in this process's turn.
///
/// They run on a thread of their own, which may wait for its turn and for SQLite's lock; or, where there is nothing to
/// wait for, on the caller's thread, as far as ``CallerThreadUse`` allows. A thread of Swift's pool is then kept
/// from other tasks for as long as one transaction takes, of which the last one was quick, and never by a lock.
///
/// The thread that waits for the turn is the one that writes: between the end of one process's transaction and the
/// beginning of the next one's, one thread has to wake up and no more. It waits for SQLite's lock too, once for all that
/// wait; which of them has it is decided when it is there. Behind a transaction that takes long, one timer for all that
/// wait looks at their deadlines.
final class WriteQueue: Sendable {
    /// Runs in a transaction that has begun, and ends it; or is told why there is none. What it returns tells the callers,
    /// when the turn is over already: others need not wait for that.
    typealias Job = @Sendable (Result<Database, any Error>) -> () -> Void

    /// Calls something after a time, on a thread that it does not keep.
    typealias Timer = @Sendable (_ delay: Duration, _ body: @escaping @Sendable () -> Void) -> Void

    @Sendable static func systemTimer(_ delay: Duration, _ body: @escaping @Sendable () -> Void) {
        DispatchQueue.global().asyncAfter(deadline: .now() + delay.inSeconds, execute: body)
    }

    struct Limits: Sendable {
        /// How long a turn is waited for before it is done without.
        var turn: Duration
        /// How long a job may wait, from when it was handed in.
        var wait: Duration
    }

    private struct State {
        var schedule = WriteSchedule<Job>()
        var callerThread = CallerThreadUse()
        var hasThread = false
        /// Whether somebody looks in a while whether the turn is overdue.
        var isWatched = false
        /// Nothing is taken any more.
        var isEnding = false
        /// Those that wait until nothing is written or waits to be.
        var idleWaiters: [CheckedContinuation<Void, Never>] = []

        mutating func takeIdleWaiters() -> [CheckedContinuation<Void, Never>] {
            guard schedule.isIdle, !idleWaiters.isEmpty else { return [] }
            defer { idleWaiters = [] }
            return idleWaiters
        }
    }

    private let pool: DatabasePool
    private let store: String
    /// Nil in a store that only reads.
    private let turn: WriteTurn?
    private let lock: WriteLock
    private let limits: Limits
    private let state = Mutex(State())
    /// Signalled for each time that the thread may have something to do.
    private let woken = DispatchSemaphore(value: 0)
    private let now: @Sendable () -> Duration
    private let after: Timer

    init(
        pool: DatabasePool, store: String, turn: WriteTurn?, lock: WriteLock, limits: Limits,
        now: @escaping @Sendable () -> Duration = SQLiteConfiguration.systemAwakeTime,
        after: @escaping Timer = WriteQueue.systemTimer
    ) {
        self.pool = pool
        self.store = store
        self.turn = turn
        self.lock = lock
        self.limits = limits
        self.now = now
        self.after = after
    }

    /// - Parameters:
    ///   - waited: for how long it has waited already.
    ///   - job: runs in this process's turn, or when that has not come in time.
    /// - Returns: the number by which it can be taken out again.
    @discardableResult
    func run(isUrgent: Bool = false, waited: Duration = .zero, _ job: @escaping Job) -> Int {
        do {
            return try add(isUrgent: isUrgent, deadline: deadline(waited: waited), job)
        } catch {
            job(.failure(error))()
            return 0
        }
    }

    /// Until when a job waits that has waited for so long already.
    func deadline(waited: Duration = .zero) -> Duration { now() + limits.wait - waited }

    /// Puts a job into the queue, and runs it on another thread; where it throws, the job does not hear of it.
    ///
    /// - Parameter isUrgent: whether the job goes before those that are not.
    /// - Returns: the number by which it can be taken out again.
    func add(isUrgent: Bool = false, deadline: Duration, _ job: @escaping Job) throws(TidemarkError) -> Int {
        guard turn != nil else { throw .readOnly(store: store) }
        let added: (number: Int, start: WriteSchedule<Job>.Start, look: Duration?)? = state.withLock { state in
            if state.isEnding { return nil }
            let (number, start) = state.schedule.add(job, deadline: deadline, isUrgent: isUrgent)
            if start == .thread { wakeThread(&state) }
            return (number, start, state.schedule.arrangeLook())
        }
        guard let added else { throw .storeUnavailable(store: store, problem: "it was closed") }
        if added.start == .withoutTurn { writeWithoutTurn() }
        arrangeLook(added.look)
        return added.number
    }

    /// Takes a job out of the queue and fails it with a `CancellationError`. Does nothing where its transaction has begun.
    func withdraw(_ number: Int) {
        let (job, idle) = state.withLock { state in (state.schedule.withdraw(number), state.takeIdleWaiters()) }
        job?(.failure(CancellationError()))()
        for waiter in idle { waiter.resume() }
    }

    /// Runs the transaction on this thread, if there is nothing to wait for and the last one was quick; nil where it did
    /// not run.
    func runHere<Value>(_ transaction: (Database) -> Result<Value, any Error>) -> Result<Value, any Error>? {
        guard let turn else { return nil }
        let mayBegin = state.withLock { state in
            state.callerThread.mayBegin && !state.isEnding
                && state.schedule.beginHere(at: now(), takeIfFree: { turn.takeIfFree() })
        }
        guard mayBegin else { return nil }
        return pool.writeWithoutTransaction { db in
            let rowsBefore = db.changedRows
            let start = now()
            let value: Result<Value, any Error>?
            do {
                value = try lock.takeIfFree(db) ? transaction(db) : nil
            } catch {
                value = .failure(error)
            }
            let rows = db.changedRows - rowsBefore
            let idle = state.withLock { state in
                let end = now()
                state.callerThread.ranHere(for: end - start)
                self.end(&state, at: end, rows: rows, onThread: false, turn)
                return state.takeIdleWaiters()
            }
            for waiter in idle { waiter.resume() }
            return value
        }
    }

    /// The connection that writes, without a turn and without a transaction.
    func withConnection<Value: Sendable>(_ body: @escaping @Sendable (Database) throws -> Value) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            pool.asyncWriteWithoutTransaction { db in continuation.resume(with: Result { try body(db) }) }
        }
    }

    /// Takes nothing more, and waits for what was taken: for as long as a job may wait, and the last transaction takes.
    func finish() async {
        await withCheckedContinuation { continuation in
            let isIdle = state.withLock { state in
                state.isEnding = true
                if !state.schedule.isIdle { state.idleWaiters.append(continuation) }
                return state.schedule.isIdle
            }
            if isIdle { continuation.resume() }
        }
    }

    /// The turn is given back here, under the lock: the next job would take it once more on the same descriptor.
    private func end(_ state: inout State, at now: Duration, rows: Int, onThread: Bool, _ turn: WriteTurn) {
        let end = state.schedule.end(at: now, rows: rows, onThread: onThread) { turn.isWanted }
        if end.releasesTurn { turn.release() }
        if end.wakesThread { wakeThread(&state) }
    }

    // MARK: Waiting for SQLite's lock

    /// How long to wait before SQLite's lock is tried again, the first times, as its own busy handler does; then as long
    /// as the last of them.
    private static let delays: [Double] = [1, 2, 5, 10, 15, 20, 25, 25, 25, 50, 50, 100].map { $0 / 1000 }

    /// Waits for SQLite's lock for as long as somebody needs it, and runs the job that is next then. Jobs that have
    /// waited for long enough fail meanwhile. Blocks its thread. What it returns tells the callers.
    private func writeNext(_ db: Database) -> () -> Void {
        var tries = 0
        while true {
            do {
                if try lock.takeIfFree(db) {
                    let (job, look) = state.withLock { state in
                        (state.schedule.takeNext(), state.schedule.arrangeLook())
                    }
                    arrangeLook(look)
                    if let job { return job(.success(db)) }
                    // All of them have gone. A transaction without a change leaves nothing, however it ends.
                    try db.rollback()
                    return {}
                }
            } catch {
                let job = state.withLock { $0.schedule.takeNext() }
                return job?(.failure(error)) ?? {}
            }
            let now = now()
            let (expired, next) = state.withLock { state in
                (state.schedule.takeExpired(at: now), state.schedule.earliestDeadline)
            }
            if !expired.isEmpty {
                let error = lock.heldError(db)
                for job in expired { job(.failure(error))() }
            }
            guard let next else { return {} }
            Thread.sleep(forTimeInterval: min(Self.delays[min(tries, Self.delays.count - 1)], (next - now).inSeconds))
            tries += 1
        }
    }

    // MARK: Waiting for a transaction of this process

    private func arrangeLook(_ time: Duration?) {
        guard let time else { return }
        after(time - now()) { [weak self] in self?.lookAtDeadlines(arrangedFor: time) }
    }

    /// Fails the jobs that have waited for long enough behind a transaction that still runs: one look for all of them.
    private func lookAtDeadlines(arrangedFor time: Duration) {
        let (expired, next) = state.withLock { state in
            (state.schedule.look(arrangedFor: time, at: now()), state.schedule.arrangeLook())
        }
        for job in expired { job(.failure(lock.ownTransactionError))() }
        arrangeLook(next)
    }

    // MARK: Without a turn

    private func writeWithoutTurn() {
        pool.asyncWriteWithoutTransaction { [self] db in
            let start = now()
            // Only a process that has the turn makes checkpoints.
            let tell = db.withoutCheckpoints { writeNext(db) }
            // Before the callers hear of it: what they write next may run on their own threads.
            let (goesOn, idle) = state.withLock { state in
                state.callerThread.ranElsewhere(for: now() - start)
                return (state.schedule.endWithoutTurn(), state.takeIdleWaiters())
            }
            if goesOn { writeWithoutTurn() }
            tell()
            for waiter in idle { waiter.resume() }
        }
    }

    // MARK: The thread

    /// How long the thread stays when there is nothing to write: whoever has waited once will again.
    private static let idleTime = Duration.seconds(1)

    private func wakeThread(_ state: inout State) {
        woken.signal()
        if state.hasThread { return }
        state.hasThread = true
        let thread = Thread { self.work() }
        thread.name = "tidemark.write"
        thread.start()
    }

    private func work() {
        guard let turn else { return }
        while true {
            let step = state.withLock { state in
                let step = state.schedule.nextStep(at: now())
                if case .releaseTurn = step { turn.release() }
                return step
            }
            switch step {
            case .releaseTurn:
                break
            case .write:
                write(turn)
            case .takeTurn:
                if !turn.takeIfFree() {
                    watch()
                    // `flock` has no time limit: what waits too long is written without, by another thread.
                    turn.take()
                }
                let writes = state.withLock { state in
                    let writes = state.schedule.tookTurn(at: now())
                    if !writes { turn.release() }
                    return writes
                }
                if writes { write(turn) }
            case .wait(let end):
                let limit = end.map { $0 - now() } ?? Self.idleTime
                if woken.wait(timeout: .now() + limit.inSeconds) == .success || end != nil { break }
                if isDone() { return }
            }
        }
    }

    private func write(_ turn: WriteTurn) {
        let (tell, idle) = pool.writeWithoutTransaction { db in
            let rowsBefore = db.changedRows
            let start = now()
            let tell = writeNext(db)
            let rows = db.changedRows - rowsBefore
            // Before the callers hear of it: what they write next may run on their own threads.
            let idle = state.withLock { state in
                let end = now()
                state.callerThread.ranElsewhere(for: end - start)
                self.end(&state, at: end, rows: rows, onThread: true, turn)
                return state.takeIdleWaiters()
            }
            return (tell, idle)
        }
        tell()
        for waiter in idle { waiter.resume() }
    }

    private func isDone() -> Bool {
        state.withLock { state in
            // Something that came meanwhile has been or will be signalled, and counts on this thread.
            guard state.schedule.needsNoThread else { return false }
            state.hasThread = false
            return true
        }
    }

    // MARK: A turn that does not come

    private func watch() {
        let isFirst = state.withLock { state in
            defer { state.isWatched = true }
            return !state.isWatched
        }
        if isFirst { look(after: limits.turn) }
    }

    /// One look at a time, for whatever turn is waited for then: to look after each of them would cost each of them.
    private func look(after delay: Duration) {
        // While something waits the thread holds the queue.
        after(delay) { [weak self] in
            guard let self else { return }
            let (begins, waited) = state.withLock { state in
                let (begins, waited) = state.schedule.overdue(at: now(), limit: limits.turn)
                state.isWatched = waited != nil
                return (begins, waited)
            }
            if begins { writeWithoutTurn() }
            if let waited { look(after: limits.turn - waited) }
        }
    }
}

/// Gives the writers of one database file, in all processes, their turns in the order in which they come.
///
/// SQLite's busy handler sleeps and tries again, so a process that writes without pause starves the others. Writers therefore
/// queue on two file locks of their own around each transaction: take "next", take "turn", release "next", write,
/// release "turn". One lock is not fair enough: the process that releases it can take it again before a waiter wakes up. With
/// two, it has to queue for "next" first, while the one that holds "next" is the only one that waits for "turn".
///
/// The locks serve fairness and nothing else: correctness is SQLite's. So a turn that does not come in time is done
/// without, see ``WriteSchedule``.
final class WriteTurn: Sendable {
    private let next: FileLock
    private let turn: FileLock

    /// Both files are in the store's folder, which must exist.
    init(directory: String, owner: FileOwner? = nil) throws {
        next = try FileLock(path: directory + "/next.lock", owner: owner)
        turn = try FileLock(path: directory + "/turn.lock", owner: owner)
    }

    /// Takes the turn if it can be had without waiting at all.
    func takeIfFree() -> Bool {
        guard next.tryLock() else { return false }
        defer { next.unlock() }
        return turn.tryLock()
    }

    /// Blocks the thread until the turn is there, without any limit.
    func take() {
        next.lock()
        turn.lock()
        next.unlock()
    }

    func release() { turn.unlock() }

    /// Whether another process waits for it: that one holds "next".
    var isWanted: Bool {
        guard next.tryLock() else { return true }
        next.unlock()
        return false
    }
}

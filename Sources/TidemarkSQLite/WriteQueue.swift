import Dispatch
import Foundation
import GRDB
import Synchronization
import Tidemark

/// Runs transactions on the one connection that writes, one after the other, each in this process's turn.
///
/// They run on a thread of their own, which may wait for its turn and for SQLite's lock; or, where there is nothing to
/// wait for, on the thread of whoever asks, as far as ``CallerThreadUse`` allows. A thread of Swift's pool is then kept
/// from other tasks for as long as one transaction takes, of which the last one was quick, and never by a lock.
///
/// The thread that waits for the turn is the one that writes: between the end of one process's transaction and the
/// beginning of the next one's, one thread has to wake up and no more.
final class WriteQueue: Sendable {
    /// What it returns tells the callers, when the turn is over already: others need not wait for that.
    typealias Transaction = @Sendable (Database) -> () -> Void

    private struct State {
        var schedule = WriteSchedule<Transaction>()
        var callerThread = CallerThreadUse()
        var hasThread = false
        /// Whether somebody looks in a while whether the turn is overdue.
        var isWatched = false
    }

    private let pool: DatabasePool
    /// Nil in a store that only reads.
    private let turn: WriteTurn?
    private let fairnessTimeout: Duration
    private let state = Mutex(State())
    /// Signalled for each time that the thread may have something to do.
    private let woken = DispatchSemaphore(value: 0)
    private let now: @Sendable () -> Duration

    init(
        pool: DatabasePool, turn: WriteTurn?, fairnessTimeout: Duration,
        now: @escaping @Sendable () -> Duration = SQLiteConfiguration.systemAwakeTime
    ) {
        self.pool = pool
        self.turn = turn
        self.fairnessTimeout = fairnessTimeout
        self.now = now
    }

    var isReadOnly: Bool { turn == nil }

    /// - Parameter transaction: runs in this process's turn, or when that has not come in time.
    func run(_ transaction: @escaping Transaction) {
        let waits = state.withLock { state in
            guard turn != nil, state.schedule.add(transaction) else { return false }
            wakeThread(&state)
            return true
        }
        if !waits { runWithoutTurn(transaction) }
    }

    /// Runs the transaction on this thread, if there is nothing to wait for and the last one was quick; nil where it did
    /// not run.
    ///
    /// - Parameter transaction: returns nil, and has done nothing, where SQLite's lock was not free.
    func runHere<Value>(_ transaction: (Database) -> Value?) -> Value? {
        guard let turn else { return nil }
        let mayBegin = state.withLock { state in
            state.callerThread.mayBegin
                && state.schedule.beginHere(at: now(), takeIfFree: { turn.takeIfFree() })
        }
        guard mayBegin else { return nil }
        return pool.writeWithoutTransaction { db in
            let rowsBefore = db.changedRows
            let start = now()
            let value = transaction(db)
            let rows = db.changedRows - rowsBefore
            state.withLock { state in
                let end = now()
                state.callerThread.ranHere(for: end - start)
                self.end(&state, at: end, rows: rows, onThread: false, turn)
            }
            return value
        }
    }

    /// Waits for what is under way.
    func finish() async {
        if state.withLock({ $0.schedule.isIdle }) { return }
        await withCheckedContinuation { continuation in
            run { _ in { continuation.resume() } }
        }
    }

    private func runWithoutTurn(_ transaction: @escaping Transaction) {
        pool.asyncWriteWithoutTransaction { [self] db in
            let start = now()
            let tell = transaction(db)
            // Before the callers hear of it: what they write next may run on their own threads.
            if turn != nil {
                state.withLock { state in
                    state.callerThread.ranElsewhere(for: now() - start)
                    state.schedule.endWithoutTurn()
                }
            }
            tell()
        }
    }

    /// The turn is given back here, under the lock: whoever begins next would take it once more on the same descriptor.
    private func end(_ state: inout State, at now: Duration, rows: Int, onThread: Bool, _ turn: WriteTurn) {
        let end = state.schedule.end(at: now, rows: rows, onThread: onThread) { turn.isWanted }
        if end.releasesTurn { turn.release() }
        if end.wakesThread { wakeThread(&state) }
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
            case .write(let transaction):
                write(transaction, turn)
            case .takeTurn:
                if !turn.takeIfFree() {
                    watch()
                    // `flock` has no time limit: what waits too long is written without, by another thread.
                    turn.take()
                }
                let transaction = state.withLock { state in
                    let transaction = state.schedule.tookTurn(at: now())
                    if transaction == nil { turn.release() }
                    return transaction
                }
                if let transaction { write(transaction, turn) }
            case .wait(let end):
                let limit = end.map { $0 - now() } ?? Self.idleTime
                if woken.wait(timeout: .now() + limit.inSeconds) == .success || end != nil { break }
                if isDone() { return }
            }
        }
    }

    private func write(_ transaction: Transaction, _ turn: WriteTurn) {
        let tell = pool.writeWithoutTransaction { db in
            let rowsBefore = db.changedRows
            let start = now()
            let tell = transaction(db)
            let rows = db.changedRows - rowsBefore
            // Before the callers hear of it: what they write next may run on their own threads.
            state.withLock { state in
                let end = now()
                state.callerThread.ranElsewhere(for: end - start)
                self.end(&state, at: end, rows: rows, onThread: true, turn)
            }
            return tell
        }
        tell()
    }

    private func isDone() -> Bool {
        state.withLock { state in
            // Something that came meanwhile has been or will be signalled, and counts on this thread.
            guard state.schedule.isIdle else { return false }
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
        if isFirst { look(after: fairnessTimeout) }
    }

    /// One look at a time, for whatever turn is waited for then: to look after each of them would cost each of them.
    private func look(after delay: Duration) {
        // While something waits the thread holds the queue.
        DispatchQueue.global().asyncAfter(deadline: .now() + delay.inSeconds) { [weak self] in
            guard let self else { return }
            let waited = state.withLock { state in
                let (overdue, waited) = state.schedule.overdue(at: now(), limit: fairnessTimeout)
                state.isWatched = waited != nil
                // Under the lock: nothing that comes later, such as the end of the store, gets in front of them.
                for transaction in overdue { runWithoutTurn(transaction) }
                return waited
            }
            if let waited { look(after: fairnessTimeout - waited) }
        }
    }
}

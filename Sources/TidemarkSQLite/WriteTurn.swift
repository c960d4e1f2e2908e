import Dispatch
import Foundation
import Synchronization

/// Gives the writers of one database file, in all processes, their turns in the order in which they come.
///
/// SQLite's busy handler sleeps and tries again, so whoever writes without pause starves the others. Writers therefore
/// queue on two file locks of their own around each transaction: take "next", take "turn", release "next", write,
/// release "turn". One lock is not fair enough: whoever releases it can take it again before a waiter wakes up. With
/// two, it has to queue for "next" first, while the one that holds "next" is the only one that waits for "turn".
///
/// The locks serve fairness and nothing else: correctness is SQLite's. So a turn that does not come in time is done
/// without. And a turn may be kept for the next transaction, see ``TurnLength``.
final class WriteTurn: Sendable {
    private enum State {
        case idle
        /// The thread waits for the locks, and a writer waits for the thread.
        case wanted
        /// The writer has gone on without; when the locks come, the thread releases them.
        case unwanted
        case held(TurnLength)
        /// Between two transactions of one turn.
        case kept(TurnLength)
    }

    private struct Guarded {
        var state = State.idle
        var hasThread = false
    }

    private let next: FileLock
    private let turn: FileLock
    private let guarded = Mutex(Guarded())
    /// Signalled for each time that the locks are wanted.
    private let requested = DispatchSemaphore(value: 0)
    /// Signalled once by the thread for each change from `wanted` to `held`.
    private let arrived = DispatchSemaphore(value: 0)
    private let now: @Sendable () -> Duration

    /// Both files are in the store's folder, which must exist.
    ///
    /// - Parameter now: a clock that only goes forward; how long a turn lasts is measured with it.
    init(directory: String, now: @escaping @Sendable () -> Duration = SQLiteConfiguration.systemAwakeTime) throws {
        next = try FileLock(path: directory + "/next.lock")
        turn = try FileLock(path: directory + "/turn.lock")
        self.now = now
    }

    /// Blocks the thread until it is this writer's turn, at most for `limit`; whether the turn was taken. Each turn
    /// taken is released. One caller at a time.
    ///
    /// While an earlier writer's thread still waits for the locks, their holder is likely stopped: then this returns
    /// at once, so that a stopped process does not cost every transaction the limit.
    func take(within limit: Duration) -> Bool {
        let (taken, needsThread): (Bool?, Bool) = guarded.withLock { guarded in
            switch guarded.state {
            case .held, .wanted: preconditionFailure("the writers of one connection take one turn at a time")
            case .unwanted: return (false, false)
            case .kept(let length):
                guarded.state = .held(length.withTransaction(at: now()))
                return (true, false)
            case .idle:
                if next.tryLock(), turn.tryLock() {
                    next.unlock()
                    guarded.state = .held(TurnLength(at: now()))
                    return (true, false)
                }
                guarded.state = .wanted
                defer { guarded.hasThread = true }
                return (nil, !guarded.hasThread)
            }
        }
        if let taken { return taken }
        requested.signal()
        if needsThread { startThread() }
        return wait(within: limit)
    }

    /// Takes the turn if it can be had without waiting at all.
    func takeIfFree() -> Bool {
        guarded.withLock { guarded in
            guard case .idle = guarded.state, next.tryLock() else { return false }
            defer { next.unlock() }
            guard turn.tryLock() else { return false }
            guarded.state = .held(TurnLength(at: now()))
            return true
        }
    }

    /// The transaction is over, and so is the turn, whatever follows.
    func releaseAtOnce() {
        guarded.withLock { guarded in
            guard case .held = guarded.state else { preconditionFailure("only a turn that was taken is released") }
            turn.unlock()
            guarded.state = .idle
        }
    }

    /// The transaction is over. Releases the turn, or keeps it for a transaction that follows at once: then returns
    /// for how long that may be waited for, with the turn still taken. After that wait ``take(within:)`` or
    /// ``releaseKept()`` follows.
    ///
    /// - Parameter rows: how many the transaction has changed.
    func release(rows: Int = 0) -> Duration? {
        guarded.withLock { guarded in
            guard case .held(let length) = guarded.state else {
                preconditionFailure("only a turn that was taken is released")
            }
            // Where nobody waits there is nobody to keep the turn from: the next transaction takes it again.
            if let wait = length.wait(afterTransactionAt: now(), rows: rows), isWantedByOthers {
                guarded.state = .kept(length)
                return wait
            }
            turn.unlock()
            guarded.state = .idle
            return nil
        }
    }

    /// Nothing followed. Does nothing unless the turn is kept.
    func releaseKept() {
        guarded.withLock { guarded in
            guard case .kept = guarded.state else { return }
            turn.unlock()
            guarded.state = .idle
        }
    }

    /// Whoever waits for the turn holds "next".
    private var isWantedByOthers: Bool {
        guard next.tryLock() else { return true }
        next.unlock()
        return false
    }

    private func wait(within limit: Duration) -> Bool {
        if arrived.wait(timeout: .now() + limit.inSeconds) == .success { return true }
        let cameMeanwhile = guarded.withLock { guarded in
            if case .held = guarded.state { return true }
            guarded.state = .unwanted
            return false
        }
        // The signal belongs to this turn: it must not stay behind for the next one.
        if cameMeanwhile { arrived.wait() }
        return cameMeanwhile
    }

    // MARK: The thread

    /// How long the thread stays when the locks are not wanted: whoever has waited once will again.
    private static let idleSeconds = 1.0

    /// `flock` has no time limit, so a thread of its own blocks in it.
    private func startThread() {
        let thread = Thread { self.serveRequests() }
        thread.name = "tidemark.turn"
        thread.start()
    }

    private func serveRequests() {
        while true {
            if requested.wait(timeout: .now() + Self.idleSeconds) == .success {
                waitForLocks()
                continue
            }
            let isDone = guarded.withLock { guarded in
                // A request that came meanwhile has been or will be signalled, and counts on this thread.
                if case .wanted = guarded.state { return false }
                guarded.hasThread = false
                return true
            }
            if isDone { return }
        }
    }

    /// "next" may be held already; then taking it again does nothing.
    private func waitForLocks() {
        next.lock()
        turn.lock()
        next.unlock()
        let isWanted = guarded.withLock { guarded in
            if case .wanted = guarded.state {
                guarded.state = .held(TurnLength(at: now()))
                return true
            }
            // Released before anyone can see the state: on this descriptor the next writer would take it once more.
            turn.unlock()
            guarded.state = .idle
            return false
        }
        if isWanted { arrived.signal() }
    }
}

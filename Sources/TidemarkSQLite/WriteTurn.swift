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
/// without.
final class WriteTurn: Sendable {
    private enum State {
        case idle
        /// A thread waits for the locks, and a writer waits for that thread.
        case wanted
        /// The writer has gone on without; when the locks come, the thread releases them.
        case unwanted
        case held
    }

    private let next: FileLock
    private let turn: FileLock
    private let state = Mutex(State.idle)
    /// Signalled once by the thread for each change from `wanted` to `held`.
    private let arrived = DispatchSemaphore(value: 0)

    /// Both files are in the store's folder, which must exist.
    init(directory: String) throws {
        next = try FileLock(path: directory + "/next.lock")
        turn = try FileLock(path: directory + "/turn.lock")
    }

    /// Blocks the thread until it is this writer's turn, at most for `limit`; whether the turn was taken. Each turn
    /// taken is released. One caller at a time.
    ///
    /// While an earlier writer's thread still waits for the locks, their holder is likely stopped: then this returns
    /// at once, so that a stopped process does not cost every transaction the limit.
    func take(within limit: Duration) -> Bool {
        let taken: Bool? = state.withLock { state in
            switch state {
            case .held, .wanted: preconditionFailure("the writers of one connection take one turn at a time")
            case .unwanted: return false
            case .idle:
                if next.tryLock(), turn.tryLock() {
                    next.unlock()
                    state = .held
                    return true
                }
                state = .wanted
                return nil
            }
        }
        if let taken { return taken }
        let thread = Thread { self.waitForLocks() }
        thread.name = "tidemark.turn"
        thread.start()
        return wait(within: limit)
    }

    func release() {
        state.withLock { state in
            guard case .held = state else { preconditionFailure("only a turn that was taken is released") }
            turn.unlock()
            state = .idle
        }
    }

    private func wait(within limit: Duration) -> Bool {
        if arrived.wait(timeout: .now() + limit.inSeconds) == .success { return true }
        let cameMeanwhile = state.withLock { state in
            if case .held = state { return true }
            state = .unwanted
            return false
        }
        // The signal belongs to this turn: it must not stay behind for the next one.
        if cameMeanwhile { arrived.wait() }
        return cameMeanwhile
    }

    /// `flock` has no time limit, so a thread of its own blocks in it. "next" may be held already; then taking it again
    /// does nothing.
    private func waitForLocks() {
        next.lock()
        turn.lock()
        next.unlock()
        let isWanted = state.withLock { state in
            if case .wanted = state {
                state = .held
                return true
            }
            // Released before anyone can see the state: on this descriptor the next writer would take it once more.
            turn.unlock()
            state = .idle
            return false
        }
        if isWanted { arrived.signal() }
    }
}

import Dispatch
import Synchronization

/// How many transactions of a store wait for its connection, and a short wait for the first.
final class PendingWrites: Sendable {
    private struct State {
        var count = 0
        var isAwaited = false
    }

    private let state = Mutex(State())
    /// Signalled once for each time that `isAwaited` goes from true to false by ``add()``.
    private let came = DispatchSemaphore(value: 0)

    func add() {
        let isAwaited = state.withLock { state in
            state.count += 1
            defer { state.isAwaited = false }
            return state.isAwaited
        }
        if isAwaited { came.signal() }
    }

    func remove() {
        state.withLock { $0.count -= 1 }
    }

    /// Blocks the thread until a transaction waits, at most for `limit`; whether one does. One caller at a time.
    func wait(atMost limit: Duration) -> Bool {
        let isThere = state.withLock { state in
            state.isAwaited = state.count == 0
            return !state.isAwaited
        }
        if isThere || came.wait(timeout: .now() + limit.inSeconds) == .success { return true }
        let cameMeanwhile = state.withLock { state in
            defer { state.isAwaited = false }
            return !state.isAwaited
        }
        // The signal belongs to this wait: it must not stay behind for the next one.
        if cameMeanwhile { came.wait() }
        return cameMeanwhile
    }
}

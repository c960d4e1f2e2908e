import Dispatch
import Synchronization

/// What a store has to write: how many transactions wait for its connection, and whether one has it.
final class PendingWrites: Sendable {
    private struct State {
        var waiting = 0
        var running = 0
        var isAwaited = false
    }

    private let state = Mutex(State())
    /// Signalled once for each time that `isAwaited` goes from true to false by ``add()``.
    private let came = DispatchSemaphore(value: 0)

    /// One more waits.
    func add() {
        let isAwaited = state.withLock { state in
            state.waiting += 1
            defer { state.isAwaited = false }
            return state.isAwaited
        }
        if isAwaited { came.signal() }
    }

    /// One that waited has the connection.
    func begin() {
        state.withLock { state in
            state.waiting -= 1
            state.running += 1
        }
    }

    /// One that comes now has the connection, if none waits for it or has it.
    func beginAlone() -> Bool {
        state.withLock { state in
            guard state.waiting == 0, state.running == 0 else { return false }
            state.running = 1
            return true
        }
    }

    func end() {
        state.withLock { $0.running -= 1 }
    }

    /// Blocks the thread until a transaction waits, at most for `limit`; whether one does. One caller at a time.
    func wait(atMost limit: Duration) -> Bool {
        let isThere = state.withLock { state in
            state.isAwaited = state.waiting == 0
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

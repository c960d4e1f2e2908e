import Synchronization

/// Asks the thread that runs a call to stop it.
final class CallControl: Sendable {
    private struct State {
        var isCancelled = false
        /// The pipe that wakes the connection that runs the call.
        var pipe: WakePipe?
    }

    private let state = Mutex(State())

    var isCancelled: Bool { state.withLock { $0.isCancelled } }

    func cancel() {
        let pipe = state.withLock { state in
            state.isCancelled = true
            return state.pipe
        }
        pipe?.wake()
    }

    /// The call runs, or does no longer.
    func attach(_ pipe: WakePipe?) { state.withLock { $0.pipe = pipe } }
}

import Synchronization

/// Wakes one task that waits until there is something to do. A signal that was raised while the task did not wait is not lost;
/// several count as one.
final class Signal: Sendable {
    private struct State {
        var isRaised = false
        var waiter: Waiter<Void>?
    }

    private let state = Mutex(State())

    func raise() {
        let waiter = state.withLock { state in
            if state.isRaised { return nil as Waiter<Void>? }
            state.isRaised = true
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resolve(())
    }

    /// Returns when it is raised, at the deadline, or when the task is cancelled.
    func wait(until deadline: Duration?, on time: TimeSource) async {
        let waiter = Waiter<Void>()
        let isRaised = state.withLock { state in
            if !state.isRaised { state.waiter = waiter }
            defer { state.isRaised = false }
            return state.isRaised
        }
        if isRaised { return }
        await waiter.value(until: deadline, on: time, late: (), cancelled: ())
        state.withLock { $0.isRaised = false }
    }
}

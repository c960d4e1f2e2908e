import Synchronization

/// What is being found out about IDs whose scope has no say about them any more.
final class Abandonment: Sendable {
    let ids: [StreamID]
    private let state = Mutex<State>(State())

    private struct State {
        /// Which of the IDs hold an event; nil until the database has said so.
        var outcome: Outcome?
        var waiters: [Waiter<Outcome>] = []
    }

    enum Outcome: Sendable {
        /// Tombstones hold the IDs but for these, which hold an event.
        case settled(committed: Set<StreamID>)
        /// The database has not said yet; it is asked again in the background.
        case unsettled
    }

    init(ids: [StreamID]) {
        self.ids = ids
    }

    /// What came of the first attempt, or of a later one; unsettled when that takes longer than the deadline.
    func outcome(until deadline: Duration, on time: TimeSource) async -> Outcome {
        let waiter = Waiter<Outcome>()
        let outcome = state.withLock { state in
            if state.outcome == nil { state.waiters.append(waiter) }
            return state.outcome
        }
        if let outcome { return outcome }
        // Not given up when the caller is cancelled: that the ID is settled matters to everyone else.
        let timer = Task {
            do { try await time.sleep(until: deadline) } catch { return }
            waiter.resolve(.unsettled)
        }
        defer { timer.cancel() }
        return await waiter.value()
    }

    func report(_ outcome: Outcome) {
        let waiters = state.withLock { state in
            state.outcome = outcome
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resolve(outcome) }
    }
}

import Synchronization

/// Callers that wait for checkpoints of a stream, by consumer and place. An announcement of a checkpoint only wakes them.
final class CheckpointWaiters: Sendable {
    private struct State {
        var next = 0
        var waiting: [ConsumerName: [Int: (id: StreamID, waiter: Waiter<Bool>)]] = [:]
    }

    private let state = Mutex(State())

    /// A waiter that is woken when the checkpoint is announced at `id` or above it; it has to be removed again.
    func add(_ consumer: ConsumerName, _ id: StreamID) -> (number: Int, waiter: Waiter<Bool>) {
        let waiter = Waiter<Bool>()
        let number = state.withLock { state in
            state.next += 1
            state.waiting[consumer, default: [:]][state.next] = (id, waiter)
            return state.next
        }
        return (number, waiter)
    }

    func remove(_ number: Int, of consumer: ConsumerName) {
        state.withLock { state in
            state.waiting[consumer]?[number] = nil
            if state.waiting[consumer]?.isEmpty == true { state.waiting[consumer] = nil }
        }
    }

    /// The checkpoint was announced at this position.
    func isSaid(_ consumer: ConsumerName, at position: StreamID) {
        let reached = state.withLock { state in
            state.waiting[consumer]?.values.filter { $0.id <= position }.map(\.waiter) ?? []
        }
        for waiter in reached { waiter.resolve(true) }
    }

    /// How many wait.
    var count: Int { state.withLock { $0.waiting.values.reduce(0) { $0 + $1.count } } }
}

import Dispatch
import Synchronization
import Tidemark

/// Events on their way from a thread, which may block, to a task, which may not. Bounded, in order.
final class EventBuffer: Sendable {
    private struct State {
        var events: [Event] = []
        var bytes = 0
        /// Set once nothing more comes; the error is thrown after the last event.
        var end: Result<Void, any Error>?
        var isAbandoned = false
        var isProducerWaiting = false
        var consumer: CheckedContinuation<Void, Never>?
    }

    /// Events, and bytes of payload, that may wait; a single addition may go beyond that.
    private let limit: Int
    private static let byteLimit = 8 << 20
    private let room = DispatchSemaphore(value: 0)
    private let state = Mutex(State())

    init(limit: Int) {
        self.limit = limit
    }

    /// Whether nobody takes events out any more.
    var isAbandoned: Bool { state.withLock { $0.isAbandoned } }

    /// Adds events, and then blocks the calling thread for as long as there are too many.
    func add(_ events: [Event]) {
        if events.isEmpty { return }
        wake { state in
            if state.isAbandoned { return }
            state.events += events
            state.bytes += events.payloadBytes
        }
        while waitsForRoom() { room.wait() }
    }

    /// Nothing more comes.
    func finish(_ error: (any Error)?) {
        wake { state in
            state.end = state.end ?? error.map { .failure($0) } ?? .success(())
        }
    }

    /// The next events, as soon as there are any, at least one; nil at the end. To be called by one task.
    ///
    /// - Throws: the error that ``finish(_:)`` was given; `CancellationError`, and nothing is taken any more.
    func next(upTo count: Int) async throws -> [Event]? {
        while true {
            if Task.isCancelled {
                abandon()
                throw CancellationError()
            }
            if let events = take(upTo: count) { return events }
            if let end = state.withLock({ $0.events.isEmpty ? $0.end : nil }) {
                try end.get()
                return nil
            }
            await withTaskCancellationHandler {
                await waitForEvents()
            } onCancel: {
                abandon()
            }
        }
    }

    private func waitForEvents() async {
        await withCheckedContinuation { continuation in
            let isOver = state.withLock { state in
                if !state.events.isEmpty || state.end != nil || state.isAbandoned { return true }
                state.consumer = continuation
                return false
            }
            if isOver { continuation.resume() }
        }
    }

    private func take(upTo count: Int) -> [Event]? {
        let (events, makesRoom): ([Event]?, Bool) = state.withLock { state in
            if state.events.isEmpty { return (nil, false) }
            var events = state.events
            if events.count > count {
                events = Array(state.events.prefix(count))
                state.events.removeFirst(count)
            } else {
                state.events = []
            }
            state.bytes -= events.payloadBytes
            defer { state.isProducerWaiting = false }
            return (events, state.isProducerWaiting)
        }
        if makesRoom { room.signal() }
        return events
    }

    private func abandon() {
        wake { state in
            state.isAbandoned = true
            state.events = []
            state.bytes = 0
        }
        let isWaiting = state.withLock { state in
            defer { state.isProducerWaiting = false }
            return state.isProducerWaiting
        }
        if isWaiting { room.signal() }
    }

    private func waitsForRoom() -> Bool {
        state.withLock { state in
            let isFull = state.events.count > limit || state.bytes > Self.byteLimit
            state.isProducerWaiting = isFull
            return isFull
        }
    }

    private func wake(_ change: (inout State) -> Void) {
        let consumer = state.withLock { state in
            change(&state)
            defer { state.consumer = nil }
            return state.consumer
        }
        consumer?.resume()
    }
}

import Logging
import Synchronization

/// Gathers what concurrent callers hand in and commits it in groups: all that waits goes into one transaction, and
/// while that is being made durable the next group gathers.
///
/// The queue is bounded: when it is full callers wait, and memory does not grow.
public final class EventPersister: Sendable {
    let stream: StreamName
    let store: any EventStore
    /// The store, where it can commit at once.
    let immediateStore: (any ImmediateEventStore)?
    let generator: MultiWriterIDGenerator
    let limits: EventLimits
    let membership: any WriterMembership
    let onCommit: @Sendable (_ events: [Event], _ outcomes: [PersistOutcome]) -> Void
    private let state: Mutex<State>

    private struct State {
        var queue: PersistQueue
        /// Why nothing is taken any more.
        var stopped: TidemarkError?
        /// Who waits for the queue to be empty.
        var drained: [Waiter<Void>] = []
    }

    init(
        stream: StreamName, store: any EventStore, generator: MultiWriterIDGenerator, limits: EventLimits,
        queue: PersistQueue.Limits, membership: any WriterMembership,
        onCommit: @escaping @Sendable (_ events: [Event], _ outcomes: [PersistOutcome]) -> Void
    ) {
        self.stream = stream
        self.store = store
        immediateStore = store as? any ImmediateEventStore
        self.generator = generator
        self.limits = limits
        self.membership = membership
        self.onCommit = onCommit
        state = Mutex(State(queue: PersistQueue(limits: queue)))
    }

    /// Persists the events in one transaction and returns, in their order, when they are durable.
    ///
    /// - Throws: ``TidemarkError/invalidEvent(stream:id:problem:)`` before anything is written;
    ///   `CancellationError` when the task is cancelled, and then the events are persisted either all or not at all;
    ///   ``TidemarkError/instanceTaken(stream:writer:by:)``, or what the store throws.
    public func persist(_ events: [Event]) async throws -> [PersistOutcome] {
        try limits.check(events, in: stream)
        if events.isEmpty { return [] }
        try Task.checkCancellation()
        if let immediateStore, let outcomes = try persistAlone(events, immediateStore) { return outcomes }
        let result = Waiter<Result<[PersistOutcome], any Error>>()
        let request = state.withLock { state in
            PersistQueue.Request(
                number: state.queue.makeNumber(), events: events,
                bytes: events.payloadBytes, result: result)
        }
        try await enter(request)
        return try await withTaskCancellationHandler {
            try await result.value().get()
        } onCancel: {
            // In a group it goes on, and the caller does not wait for it.
            _ = state.withLock { $0.queue.withdraw(request.number) }
            result.resolve(.failure(CancellationError()))
        }
    }

    /// Takes nothing more, and waits until everything that was taken is committed or has failed.
    func drain(then error: TidemarkError) async {
        let drained = Waiter<Void>()
        let (away, isEmpty) = state.withLock { state in
            state.stopped = state.stopped ?? error
            if state.queue.isDraining { state.drained.append(drained) }
            return (state.queue.turnAway(), !state.queue.isDraining)
        }
        for room in away { room.resolve(false) }
        if !isEmpty { await drained.value() }
    }

    /// How many calls wait to be taken into a group.
    var waitingCount: Int { state.withLock { $0.queue.waiting.count } }

    private func enter(_ request: PersistQueue.Request) async throws {
        var hasWaited = false
        while true {
            let admission = try state.withLock { state throws(TidemarkError) in
                if let error = state.stopped { throw error }
                return state.queue.add(request, hasWaited: hasWaited)
            }
            switch admission {
            case .admittedFirst:
                // Starts on this thread, up to where the store has the group: one switch of threads less.
                Task.immediate { await self.commitGroups() }
                return letNextEnter()
            case .admitted:
                return letNextEnter()
            case .full(let room):
                let mayEnter = await withTaskCancellationHandler {
                    await room.value()
                } onCancel: {
                    room.resolve(false)
                }
                hasWaited = true
                if Task.isCancelled {
                    _ = state.withLock { $0.queue.withdraw(request.number) }
                    // The turn may have been this caller's: it goes to the next one.
                    if mayEnter { letNextEnter() }
                    throw CancellationError()
                }
            }
        }
    }

    private func letNextEnter() {
        state.withLock { $0.queue.nextToEnter() }?.resolve(true)
    }

    /// So many callers are told of their group before the next one begins.
    private static let fewCallers = 16

    /// Where nobody else waits, and the store has nothing to wait for: commits on this thread, without a task. Nil where
    /// that cannot be; then nothing was committed.
    private func persistAlone(
        _ events: [Event], _ store: any ImmediateEventStore
    ) throws -> [PersistOutcome]? {
        let mayBegin = try state.withLock { state throws(TidemarkError) in
            if let error = state.stopped { throw error }
            return state.queue.beginAlone()
        }
        guard mayBegin else { return nil }
        defer { endAlone() }
        return try commitImmediately(events, store)
    }

    private func endAlone() {
        let (othersWait, drained) = state.withLock { state in
            guard !state.queue.endAlone() else { return (true, [Waiter<Void>]()) }
            defer { state.drained = [] }
            return (false, state.drained)
        }
        for waiter in drained { waiter.resolve(()) }
        if othersWait { Task { await commitGroups() } }
    }

    private func commitGroups() async {
        // Tells the callers of the group before this one.
        var tell: (@Sendable () -> Void)?
        var groups = 0
        while true {
            let (group, mayEnter, drained) = state.withLock { state in
                let (group, mayEnter) = state.queue.nextGroup()
                guard group.isEmpty else { return (group, mayEnter, [Waiter<Void>]()) }
                defer { state.drained = [] }
                return (group, mayEnter, state.drained)
            }
            mayEnter?.resolve(true)
            guard !group.isEmpty else {
                tell?()
                for waiter in drained { waiter.resolve(()) }
                return
            }
            // A store that answers without a wait would keep the first caller, on whose thread this began.
            if groups == 1 { await Task.yield() }
            groups += 1
            if let tellFormer = tell {
                // The store has the next group before the callers of the last one are told: many take a while.
                let next = Task.immediate { await self.commit(group) }
                tellFormer()
                tell = await next.value
            } else {
                tell = await commit(group)
            }
            if group.count <= Self.fewCallers { tell.take()?() }
        }
    }
}

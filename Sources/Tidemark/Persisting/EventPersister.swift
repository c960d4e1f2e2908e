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
    let metrics: LogMetrics
    let time: TimeSource
    let logger: Logger
    let state: Mutex<State>

    struct State {
        var queue: PersistQueue<PersistCall>
        /// Why no more calls are taken.
        var stopped: TidemarkError?
        /// Whether the group that is under way is given up too.
        var isCutShort = false
        /// Takes groups out and commits them.
        var committing: Task<Void, Never>?
        /// Finds out what became of a group; no other one begins meanwhile.
        var settling: (settling: Settling, task: Task<Void, Never>)?
        /// Callers that wait for the queue to be empty.
        var drained: [Waiter<Void?>] = []
    }

    init(
        stream: StreamName, store: any EventStore, generator: MultiWriterIDGenerator, limits: EventLimits,
        queue: PersistQueueLimits, metrics: LogMetrics, time: TimeSource, logger: Logger
    ) {
        self.logger = logger

        self.stream = stream
        self.store = store
        immediateStore = store as? any ImmediateEventStore
        self.generator = generator
        self.limits = limits
        self.time = time
        self.metrics = metrics
        state = Mutex(State(queue: PersistQueue(limits: queue)))
    }

    /// Persists the events in one transaction and returns, in their order, when they are durable.
    ///
    /// - Throws: ``TidemarkError/invalidEvent(stream:id:problem:)`` before anything is written;
    ///   `CancellationError` when the task is cancelled, and then the events are persisted either all or not at all;
    ///   ``TidemarkError/instanceTaken(stream:writer:by:)``, or what the store throws.
    public func persist(_ events: [Event]) async throws -> [PersistOutcome] {
        try await persist(events, on: nil)
    }

    /// The same on a condition, which the database judges in the transaction that persists. A call without events asks nothing.
    ///
    /// - Throws: besides, ``TidemarkError/conflict(key:expected:found:)``,
    ///   ``TidemarkError/noKeyIndex(stream:store:isBuilding:)``, and ``TidemarkError/invalidEvent(stream:id:problem:)`` for an
    ///   event of another key, and where some events of the call are there and others are not.
    public func persist(_ events: [Event], on condition: KeyCondition?) async throws -> [PersistOutcome] {
        try limits.check(events, in: stream)
        if let condition { try check(events, condition) }
        if events.isEmpty { return [] }
        try Task.checkCancellation()
        if let immediateStore, let outcomes = try persistAlone(events, condition, immediateStore) { return outcomes }
        let call = PersistCall(events: events, condition: condition, since: time.now)
        let bytes = events.payloadBytes
        let (number, begins) = try state.withLock { state throws(TidemarkError) in
            if let error = state.stopped { throw error }
            return state.queue.add(events: events.count, bytes: bytes, caller: call)
        }
        // Starts on this thread, up to where the store has the group: one switch of threads less.
        if begins { commitInTask(isImmediate: true) }
        return try await withTaskCancellationHandler {
            try await call.result.value().get()
        } onCancel: {
            // In a group it goes on, and the caller does not wait for it.
            _ = state.withLock { $0.queue.withdraw(number) }
            call.result.resolve(.failure(CancellationError()))
        }
    }

    private func check(_ events: [Event], _ condition: KeyCondition) throws {
        guard store is any KeyIndexStore else {
            throw TidemarkError.noKeyIndex(stream: stream, store: "\(store)", isBuilding: false)
        }
        // As bytes: Swift takes different ones for the same text.
        let key = Array(condition.key.utf8)
        for event in events where event.key.map({ $0.utf8.elementsEqual(key) }) != true {
            throw TidemarkError.invalidEvent(
                stream: stream, id: String(event.id.prefix(64)),
                problem: "its key is not the one of the condition, \"\(condition.key.prefix(64))\"")
        }
    }

    /// Takes nothing more, and waits until everything that was taken is committed or has failed. Calls that wait for
    /// room fail at once. At the deadline those fail that are in no group yet, and the group that is under way is
    /// cancelled: where the store has begun to write it, its callers are told what became of it, and are not waited for.
    func drain(then error: TidemarkError, until deadline: Duration) async {
        let drained = Waiter<Void?>()
        let (away, isEmpty) = state.withLock { state in
            state.stopped = state.stopped ?? error
            if state.queue.isDraining { state.drained.append(drained) }
            return (state.queue.turnAway(), !state.queue.isDraining)
        }
        fail(away, error)
        if isEmpty { return }
        if await drained.value(until: deadline, on: time, late: nil, cancelled: nil) != nil { return }
        let (rest, committing, settling) = state.withLock { state in
            state.isCutShort = true
            return (state.queue.turnAllAway(), state.committing, state.settling?.task)
        }
        committing?.cancel()
        settling?.cancel()
        fail(rest, error)
    }

    private func fail(_ requests: [PersistQueue<PersistCall>.Request], _ error: TidemarkError) {
        for request in requests { request.caller.result.resolve(.failure(error)) }
    }

    /// How many calls wait to be taken into a group.
    var waitingCount: Int { state.withLock { $0.queue.enteredCount } }
    /// Whether nothing is being committed, and nobody waits for that.
    var isIdle: Bool { state.withLock { !$0.queue.isDraining } }
    /// How many calls wait for room.
    var outsideCount: Int { state.withLock { $0.queue.outsideCount } }

    /// Up to so many callers are told of their group before the next one begins.
    private static let fewCallers = 16

    /// Where nobody else waits, and the store has nothing to wait for: commits on this thread, without a task. Nil where
    /// that cannot be; then nothing was committed.
    private func persistAlone(
        _ events: [Event], _ condition: KeyCondition?, _ store: any ImmediateEventStore
    ) throws -> [PersistOutcome]? {
        let mayBegin = try state.withLock { state throws(TidemarkError) in
            if let error = state.stopped { throw error }
            return state.queue.beginAlone()
        }
        guard mayBegin else { return nil }
        defer { endAlone() }
        return try commitImmediately(events, condition, store)
    }

    private func endAlone() {
        let (othersWait, drained) = state.withLock { state in
            guard !state.queue.endAlone() else { return (true, [Waiter<Void?>]()) }
            defer { state.drained = [] }
            return (false, state.drained)
        }
        for waiter in drained { waiter.resolve(()) }
        if othersWait { commitInTask(isImmediate: false) }
    }

    private func commitInTask(isImmediate: Bool) {
        let task =
            isImmediate ? Task.immediate { await self.commitGroups() } : Task { await self.commitGroups() }
        let isCutShort = state.withLock { state in
            state.committing = task
            return state.isCutShort
        }
        if isCutShort { task.cancel() }
    }

    private func commitGroups() async {
        // Tells the callers of the group before this one.
        var tell: (@Sendable () -> Void)?
        var groups = 0
        while true {
            let (group, drained) = state.withLock { state in
                let group = state.queue.nextGroup()
                guard group.isEmpty else { return (group, [Waiter<Void?>]()) }
                defer { state.drained = [] }
                return (group, state.drained)
            }
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
                tell = await withTaskCancellationHandler {
                    await next.value
                } onCancel: {
                    next.cancel()
                }
            } else {
                tell = await commit(group)
            }
            if group.count <= Self.fewCallers { tell.take()?() }
        }
    }
}

/// One call of ``EventPersister/persist(_:)`` that waits.
struct PersistCall: Sendable {
    let events: [Event]
    let condition: KeyCondition?
    /// When it was handed in: a store's limit for a wait counts from then.
    let since: Duration
    let result = Waiter<Result<[PersistOutcome], any Error>>()
}

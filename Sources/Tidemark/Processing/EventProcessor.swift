import Logging
import ServiceLifecycle
import Synchronization

/// Calls a handler for each event of a stream, in order for each key, and keeps its place in the database under a name.
///
/// Several processes may run the same processor: they share its partitions. Run it as a service, after its log:
///
/// ```swift
/// let mailer = log.processor("mailer", configuration: .init(concurrency: 8)) { event in
///     try await send(event)
/// }
/// ServiceGroup(services: [log, mailer], gracefulShutdownSignals: [.sigterm], logger: logger)
/// ```
///
/// At least once: an event is handled again where the process ended, or lost its partition, before the checkpoint.
public final class EventProcessor: Service {
    /// The name under which its places are kept, in this and every other process that runs it.
    public let name: ConsumerName
    let log: EventLog
    let start: ConsumerStart
    let filter: EventFilter
    let configuration: ProcessorConfiguration
    let order: ProcessorMachine.Order
    let handler: Handler
    let process = ProcessorProcess(.random(in: 1 ... .max))
    let logger: Logger
    let metrics: ProcessorMetrics
    let state: Mutex<State>
    /// There may be something to read, to write, to count; the next deadline may be another.
    let readingSignal = Signal()
    let checkpointSignal = Signal()
    let countingSignal = Signal()
    let timerSignal = Signal()
    let idleSignal = Signal()
    /// Why it ends, where something has failed; nil when it is asked to.
    let ending = Waiter<(any Error)?>()

    /// What is called for an event.
    enum Handler: Sendable {
        /// - Parameter external: nil where events in tables of the user's own are not handled.
        case each(
            _ handle: @Sendable (PersistedEvent) async throws -> Void,
            external: (@Sendable (ExternalEvent) async throws -> Void)?
        )
        /// Handles and passes in one transaction of the store.
        case inTransaction(@Sendable (PersistedEvent, ProcessorMachine.Start, ProcessorName) async throws -> Void)
        /// It cannot be called with the store of the log.
        case none(TidemarkError)
    }

    /// What a handler gets.
    enum HandledEvent: Sendable {
        case event(PersistedEvent)
        case external(ExternalEvent)
    }

    fileprivate struct Worker {
        var task: Task<Void, Never>?
        var run: Int
        /// It was cancelled, and takes nothing more after its run.
        var isDoomed = false
    }

    struct State {
        var machine: ProcessorMachine
        var ownership: PartitionOwnership
        var events: [Int: [StreamID: HandledEvent]] = [:]
        var lateEvents: [StreamID: HandledEvent] = [:]
        fileprivate var workers: [Int: Worker] = [:]
        var lastWorker = 0
        /// Whether what was done since the last checkpoint has been told.
        var isDirty = false
        /// When the timer is to wake up next.
        var timer: Duration?
        /// What is being read, and from where.
        var reading: (task: Task<ReadStep, any Error>, after: StreamID)?
        /// When the last event that was handled had been persisted.
        var handledMilliseconds: Int64?
        var hasBegun = false
        /// Whether the processor was seen to be there, with this filter and number of partitions.
        var hasOpened = false
    }

    init(
        _ name: ConsumerName, of log: EventLog, from start: ConsumerStart, filter: EventFilter,
        configuration: ProcessorConfiguration, order: ProcessorMachine.Order, handler: Handler
    ) {
        self.name = name
        self.log = log
        self.start = start
        self.filter = filter
        self.configuration = configuration
        self.order = order
        self.handler = handler
        var logger = log.logger
        logger[metadataKey: "consumer"] = "\(name)"
        self.logger = logger
        metrics = ProcessorMetrics(stream: log.stream, consumer: name)
        state = Mutex(
            State(
                machine: ProcessorMachine(
                    configuration: ProcessorMachine.Configuration(configuration, order: order), now: log.time.now),
                ownership: PartitionOwnership(process: process, timeout: configuration.silenceTimeout)))
    }

    var time: TimeSource { log.time }
    var processor: ProcessorName { ProcessorName(name, of: log.stream) }

    /// The partitions that this process owns now.
    public var partitions: Set<Int> { Set(state.withLock { $0.machine.owned.keys }) }

    /// How many handlers run over their limit, for tests.
    package var overdue: Int { state.withLock { $0.machine.overdue } }

    /// Whether nothing more is begun, for tests.
    package var isStopping: Bool { state.withLock { $0.machine.isStopping } }

    // MARK: Running

    /// Handles events until graceful shutdown, or until the task is cancelled. Then nothing more is begun, what runs may end
    /// within ``ProcessorConfiguration/shutDownTimeLimit``, and what is done is checkpointed. To be called once.
    ///
    /// - Throws: ``TidemarkError/partitionsDiffer(stream:consumer:found:asked:)``,
    ///   ``TidemarkError/filterDiffers(stream:consumer:stored:)``,
    ///   ``TidemarkError/noProcessors(stream:store:)``, ``TidemarkError/notReached(stream:id:highest:)``;
    ///   ``TidemarkError/unsuitableTransaction(store:problem:)`` where its handler is to have a transaction that the store of the
    ///   log does not have;
    ///   ``TidemarkError/handlerFailed(stream:consumer:id:attempts:problem:)`` where it is to stop then;
    ///   ``TidemarkError/tooManyHeld(stream:consumer:id:limit:)``,
    ///   ``TidemarkError/externalEventUnhandled(stream:consumer:id:)``,
    ///   ``TidemarkError/unknownConsumer(stream:consumer:known:)`` when the consumer was deleted,
    ///   ``TidemarkError/databaseWentBackwards(stream:id:problem:)``, and what else ends reading.
    public func run() async throws {
        if case .none(let refusal) = handler { throw refusal }
        guard let store = log.store as? any ProcessorStore else {
            throw TidemarkError.noProcessors(stream: log.stream, store: "\(log.store)")
        }
        let isFirst = state.withLock { state in
            defer { state.hasBegun = true }
            return !state.hasBegun
        }
        precondition(isFirst, "a processor runs once")
        let loops = Task {
            await withTaskGroup(of: Void.self) { group in
                for loop in [beat, read, checkpoint, count, keepTime] {
                    group.addTask { await self.keepGoing(store, loop) }
                }
            }
        }
        let failure = await cancelWhenGracefulShutdown { [time, ending] in
            await ending.value(until: nil, on: time, late: nil, cancelled: nil)
        }
        // In a task of its own, also when this one is cancelled.
        await Task { await self.end(store, loops) }.value
        if let failure { throw failure }
    }

    /// Runs a loop again and again until it has ended by itself, with growing delays while the store cannot be used.
    private func keepGoing(
        _ store: any ProcessorStore, _ loop: @Sendable (any ProcessorStore, inout Backoff) async throws -> Void
    ) async {
        var backoff = Backoff(shortest: .milliseconds(50), longest: configuration.silenceTimeout)
        while !Task.isCancelled {
            do {
                return try await loop(store, &backoff)
            } catch is CancellationError {
                return
            } catch let error as TidemarkError where error.kind != .tryAgain {
                return fail(error)
            } catch {
                logger.warning("a processor has to wait for its store", metadata: ["error": "\(error)"])
                // Cancelled, it ends with the loop's own condition.
                try? await time.sleep(for: backoff.nextDelay(random: .random(in: 0..<1)))
            }
        }
    }

    func fail(_ error: any Error) { ending.resolve(error) }

    private func end(_ store: any ProcessorStore, _ loops: Task<Void, Never>) async {
        let deadline = time.now + configuration.shutDownTimeLimit
        change { $0.machine.stop() }
        await idle(until: deadline - configuration.shutDownTimeLimit / 8)
        change { $0.machine.cancelAll() }
        await idle(until: deadline)
        loops.cancel()
        await loops.value
        await leave(store)
    }

    private func idle(until deadline: Duration) async {
        while time.now < deadline, !state.withLock({ $0.machine.isIdle }) {
            await idleSignal.wait(until: deadline, on: time)
        }
    }

    /// Gives back what it can: a partition whose handler still runs is left to those who see that this process is gone.
    private func leave(_ store: any ProcessorStore) async {
        do {
            try await writeLate(store)
            try await writeCheckpoints(store)
            change { $0.machine.leave() }
            try await markUntried(store)
            try await store.leaveProcessor(processor, process: process)
        } catch {
            logger.warning(
                "a processor could not leave: others take its partitions when it has been silent for long enough",
                metadata: ["error": "\(error)"])
        }
    }

    // MARK: What follows from a change

    /// Changes the state, and does what follows: calls handlers, cancels them, wakes the loops.
    @discardableResult
    func change<Result>(_ body: (inout State) throws -> Result) rethrows -> Result {
        let (result, cancelled, failure, parked) = try state.withLock { state in
            let result = try body(&state)
            while let start = state.machine.nextStart(now: time.now) { begin(start, &state) }
            return (result, follow(&state), state.machine.failure, state.machine.takeParked())
        }
        for task in cancelled { task.cancel() }
        for note in parked { report(note) }
        if let failure { fail(described(failure)) }
        return result
    }

    private func report(_ note: ParkingNote) {
        metrics.parked()
        logger.error(
            "an event was parked",
            metadata: [
                "event": "\(note.id)", "reason": "\(note.reason)", "attempts": "\(note.attempts)",
                "problem": "\(note.problem)",
            ])
    }

    private func described(_ failure: ProcessorMachine.Failure) -> TidemarkError {
        switch failure {
        case .exhausted(let note):
            .handlerFailed(
                stream: log.stream, consumer: name, id: note.id, attempts: note.attempts, problem: note.problem)
        case .tooManyHeld(let id, let limit):
            .tooManyHeld(stream: log.stream, consumer: name, id: id, limit: limit)
        }
    }

    /// Returns the tasks to be cancelled.
    private func follow(_ state: inout State) -> [Task<Void, Never>] {
        for (partition, id) in state.machine.takeDropped() { state.events[partition]?[id] = nil }
        if !state.isDirty, state.machine.hasCheckpoints {
            state.isDirty = true
            checkpointSignal.raise()
        }
        if state.machine.hasUncounted { countingSignal.raise() }
        if state.machine.failure != nil || state.machine.isIdle { idleSignal.raise() }
        let deadline = state.machine.nextDeadline
        if let deadline, state.timer.map({ deadline < $0 }) ?? true {
            state.timer = deadline
            timerSignal.raise()
        }
        let runs = Set(state.machine.takeCancellations())
        if runs.isEmpty { return [] }
        var tasks: [Task<Void, Never>] = []
        for (number, worker) in state.workers where runs.contains(worker.run) {
            state.workers[number]?.isDoomed = true
            if let task = worker.task { tasks.append(task) }
        }
        return tasks
    }

    /// A partition that is not owned any more needs no events.
    static func forgetLost(_ state: inout State) {
        let owned = state.machine.owned
        for partition in state.events.keys where owned[partition] == nil { state.events[partition] = nil }
    }

    // MARK: Handling

    private func begin(_ start: ProcessorMachine.Start, _ state: inout State) {
        state.lastWorker += 1
        let number = state.lastWorker
        let event = Self.event(of: start, state)
        state.workers[number] = Worker(run: start.run)
        state.workers[number]?.task = Task { await self.work(number, start, event) }
    }

    private static func event(of start: ProcessorMachine.Start, _ state: State) -> HandledEvent {
        let event = start.isLate ? state.lateEvents[start.id] : state.events[start.partition]?[start.id]
        guard let event else { preconditionFailure("event \(start.id) starts, and is not there") }
        return event
    }

    /// Handles one event after the other, as long as there are some.
    private func work(_ number: Int, _ first: ProcessorMachine.Start, _ event: HandledEvent) async {
        var next: (ProcessorMachine.Start, HandledEvent)? = (first, event)
        while let (start, event) = next {
            let began = time.now
            let ending = await handle(event, start)
            next = change { state in
                let now = time.now
                metrics.handled(ending, took: now - began)
                if case .event(let event) = event { state.handledMilliseconds = event.persistedAtMilliseconds }
                return ended(number, start, ending, now, &state)
            }
        }
    }

    /// The next event for the same worker.
    private func ended(
        _ number: Int, _ start: ProcessorMachine.Start, _ ending: HandlerEnding, _ now: Duration, _ state: inout State
    ) -> (ProcessorMachine.Start, HandledEvent)? {
        let machineEnding: ProcessorMachine.Ending
        switch ending {
        case .succeeded: machineEnding = .succeeded
        case .succeededDurably: machineEnding = .succeededDurably
        case .failed(let problem): machineEnding = .failed(problem)
        case .unknown:
            // What is in the database is read again with the next claim.
            if state.machine.owned[start.partition] == start.claim { state.machine.lost(start.partition) }
            Self.forgetLost(&state)
            machineEnding = .failed("its outcome is not known")
        }
        let isOver = state.machine.ended(start.run, machineEnding, now: now, random: .random(in: 0..<1))
        if isOver, start.isLate {
            state.lateEvents[start.id] = nil
        } else if isOver, state.machine.owned[start.partition] == start.claim {
            state.events[start.partition]?[start.id] = nil
        }
        guard state.workers[number]?.isDoomed != true, let next = state.machine.nextStart(now: now) else {
            state.workers[number] = nil
            return nil
        }
        state.workers[number]?.run = next.run
        return (next, Self.event(of: next, state))
    }

    enum HandlerEnding: Sendable {
        case succeeded
        case succeededDurably
        case failed(String)
        /// Whether it was handled and passed is not known.
        case unknown
    }

    private func handle(_ event: HandledEvent, _ start: ProcessorMachine.Start) async -> HandlerEnding {
        let context = HandlingContext(
            consumer: name, partition: start.partition, claim: start.claim, attempt: start.attempt,
            isLate: start.isLate)
        do {
            return try await HandlingContext.$current.withValue(context) {
                switch (handler, event) {
                case (.each(let handle, _), .event(let event)):
                    try await traced(event) { try await handle(event) }
                    return .succeeded
                case (.each(_, let handle), .external(let event)):
                    guard let handle else { preconditionFailure("an event that is not handled was read") }
                    try await handle(event)
                    return .succeeded
                case (.inTransaction(let handle), .event(let event)):
                    try await traced(event) { try await handle(event, start, processor) }
                    return .succeededDurably
                case (.inTransaction, .external), (.none, _):
                    preconditionFailure("an event that is not handled was read")
                }
            }
        } catch let unknown as UnknownOutcome {
            logger.warning(
                "it is not known whether an event was handled: its partition is claimed again",
                metadata: ["event": "\(start.id)", "attempt": "\(start.attempt)", "error": "\(unknown.problem)"])
            return .unknown
        } catch {
            logger.debug(
                "a handler has failed",
                metadata: ["event": "\(start.id)", "attempt": "\(start.attempt)", "error": "\(error)"])
            return .failed("\(error)")
        }
    }
}

/// Thrown by a handler's transaction where it is not known whether it was committed, or the partition was not owned any more.
package struct UnknownOutcome: Error {
    /// What the store said.
    package let problem: String

    package init(_ problem: String) { self.problem = problem }
}

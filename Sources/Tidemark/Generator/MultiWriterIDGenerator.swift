public import Logging
import Synchronization

/// Hands out stream IDs to one of several writers, and keeps track of how far each of them, and all of them together,
/// have come.
///
/// IDs are handed out before transactions commit, so they commit out of order. The generator knows which of its own
/// are in flight and hears of the other writers' positions; from both follows the minimum persisted position, below
/// which nothing will ever be committed any more.
///
/// `StreamMachine` decides everything; this class is the lock around it, the clock, and the tasks that carry out what it
/// wants: through the sequence, a connection with the others, and, around an ``EventLog``, the store.
public final class MultiWriterIDGenerator: Sendable {
    /// Which way IDs go.
    public enum Direction: Sendable {
        /// Hands out 1, 2, 3 …
        case forward
        /// Hands out -1, -2, -3 … for backfill. Positions and IDs are negative and count down; the sequence counts up
        /// as ever, and what it gives is negated.
        case backward
    }

    /// The stream whose IDs it hands out.
    public let stream: StreamName
    /// The instance that it hands them out to.
    public let instance: InstanceName
    /// Which way the IDs go.
    public let direction: Direction

    /// Nil around a log, whose IDs come from its store.
    let sequence: (any StreamIDSequence)?
    /// The sequence, where it never waits.
    let immediateSequence: (any ImmediateStreamIDSequence)?
    let time: TimeSource
    let logger: Logger
    let abandonLimit: Duration
    /// How to reach the database; nil for a generator that only hands out IDs.
    let log: LogParts?
    /// Callers that wait for checkpoints of the stream's consumers.
    let checkpoints = CheckpointWaiters()
    let state: Mutex<State>

    /// What only the generator of a log has.
    struct LogParts: Sendable {
        let store: any EventStore
        let metrics: LogMetrics
        /// Asks the database because of what was heard.
        let catchingUp: BackgroundProcess
    }

    struct State: ~Copyable {
        var machine: StreamMachine
        private var waiters: [ObjectIdentifier: Waiter<Void>] = [:]
        /// By scope: what becomes of IDs that were given up.
        var abandonments: [Int: Abandonment] = [:]
        var timer: (at: Duration, task: Task<Void, Never>)?
        var connection: (any ReplicationConnection)?
        /// A thread is sending the machine's messages: one at a time, so that no message overtakes another.
        var isSending = false
        /// Why nothing is written any more. Set once, for good.
        var failure: TidemarkError?
        var failureWaiters: [Waiter<TidemarkError?>] = []
        var rejoining: Task<Writer, any Error>?
        /// What is being written in the background, at most one of each.
        var writes: [BackgroundWrite: Task<Void, Never>] = [:]
        var reconciling: Task<ReconcileEnd, any Error>?
        var reconcilesBegun = 0
        /// When the last one ended that did not fail.
        var lastReconciled: Duration?
        var warnings = RareLog(interval: .seconds(60))

        init(machine: consuming StreamMachine) { self.machine = machine }

        var hasWaiters: Bool { !waiters.isEmpty }
        mutating func add(_ waiter: Waiter<Void>) { waiters[ObjectIdentifier(waiter)] = waiter }
        mutating func remove(_ waiter: Waiter<Void>) { waiters.removeValue(forKey: ObjectIdentifier(waiter)) }

        mutating func takeWaiters() -> [Waiter<Void>] {
            defer { waiters.removeAll(keepingCapacity: true) }
            return Array(waiters.values)
        }
    }

    /// A write that no caller waits for.
    enum BackgroundWrite: Hashable, Sendable { case heartbeat, closing }

    /// Which reconciling is over, and why it failed.
    struct ReconcileEnd: Sendable {
        let number: Int
        let failure: (any Error)?
    }

    /// What is left to do after a change of the machine, once the lock is released. Mostly that is nothing; anything else is in
    /// a box, so that passing nothing around is cheap.
    indirect enum Following: Sendable {
        case nothing
        case consequences(Consequences)
    }

    struct Consequences: Sendable {
        var directives: StreamMachine.Directives = []
        var woken: [Waiter<Void>] = []
        var connection: (any ReplicationConnection)?
        var messages: [StreamMessage] = []
        /// What the database is to be asked about.
        var abandonments: [StreamMachine.GivenUpIDs] = []
    }

    /// - Parameters:
    ///   - sequence: where this stream's IDs come from.
    ///   - members: the writers that readers count, with their durable positions; for this instance what it knows of
    ///     the sequence when it joins. Where this instance is not among them it is a reader only.
    ///   - version: the membership version that goes with the members.
    public convenience init(
        stream: StreamName, instance: InstanceName, sequence: any StreamIDSequence, members: [Writer: StreamID],
        version: Int = 1, direction: Direction = .forward
    ) {
        self.init(
            stream: stream, instance: instance, sequence: sequence, members: members, version: version,
            direction: direction, time: .continuous, logger: Logger(label: "tidemark"))
    }

    /// - Parameters:
    ///   - time: what time limits are measured with.
    ///   - abandonLimit: how long a scope that throws waits for its IDs to be abandoned; after that they are abandoned
    ///     in the background, and stay in flight until then.
    public convenience init(
        stream: StreamName, instance: InstanceName, sequence: any StreamIDSequence, members: [Writer: StreamID],
        version: Int, direction: Direction, time: TimeSource, logger: Logger, abandonLimit: Duration = .seconds(10)
    ) {
        var configuration = StreamMachine.Configuration()
        // Nobody reads a database here.
        configuration.reconcileInterval = nil
        configuration.heartbeatInterval = nil
        self.init(
            stream: stream, instance: instance, sequence: sequence,
            machine: StreamMachine(
                instance: instance,
                membership: Membership(members: members.mapValues(direction.counted), version: version),
                sequence: nil, configuration: configuration),
            direction: direction, time: time, logger: logger, abandonLimit: abandonLimit, log: nil)
    }

    init(
        stream: StreamName, instance: InstanceName, sequence: (any StreamIDSequence)?, machine: consuming StreamMachine,
        direction: Direction, time: TimeSource, logger: Logger, abandonLimit: Duration = .seconds(10), log: LogParts?
    ) {
        self.stream = stream
        self.instance = instance
        self.sequence = sequence
        immediateSequence = sequence as? any ImmediateStreamIDSequence
        self.direction = direction
        self.time = time
        self.abandonLimit = abandonLimit
        self.log = log
        var logger = logger
        logger[metadataKey: "stream"] = "\(stream)"
        logger[metadataKey: "instance"] = "\(instance)"
        self.logger = logger
        state = Mutex(State(machine: machine))
    }

    // MARK: What it knows

    /// What the database says: the members with their durable positions. An older version changes nothing.
    public func updateMembers(_ members: [Writer: StreamID], version: Int) {
        changeNow { $0.updateMembers(members.mapValues(direction.counted), version: version, now: $1) }
    }

    /// A position was heard. Dropped unless exactly this epoch is a member.
    public func advance(_ writer: Writer, to position: StreamID) {
        change { $0.advance(writer, to: direction.counted(position), now: $1) }
    }

    /// Rows of these IDs, events or tombstones, were heard of or read.
    public func recordFinished(_ ids: [StreamID]) {
        guard !ids.isEmpty else { return }
        change { $0.hear(finished: ids.map(direction.counted), now: $1) }
    }

    /// At least the minimum; so for instances that are not members.
    public func position(of instance: InstanceName) -> StreamID {
        outward(state.withLock { $0.machine.position(of: instance) })
    }

    /// One entry a member: this instance's own position, and the others' as heard.
    public var positions: [InstanceName: StreamID] {
        let positions = state.withLock { $0.machine.positions }
        return Dictionary(uniqueKeysWithValues: positions.map { ($0.key.instance, outward($0.value)) })
    }

    /// The minimum persisted position and the version of the members that it was computed with, read together.
    public var watermark: Watermark {
        let watermark = state.withLock { $0.machine.watermark }
        return Watermark(minimum: outward(watermark.minimum), membershipVersion: watermark.membershipVersion)
    }

    /// The greatest ID such that it and every ID below it is finished, as far as this instance can tell. As good as
    /// the members are: ``EventReader`` makes it safe to read by.
    public var minimumPersistedPosition: StreamID { watermark.minimum }

    /// The minimum, and the position of each writer that is ahead of it. Tokens are ordered upwards, so that of a
    /// backward stream has the minimum alone.
    public var token: StreamToken {
        let token = state.withLock { $0.machine.token }
        return direction == .forward ? token : StreamToken(minimum: outward(token.minimum))
    }

    /// How many IDs are allocated and not finished.
    var inFlightCount: Int { state.withLock { $0.machine.inFlightCount } }

    func outward(_ id: StreamID) -> StreamID { direction.counted(id) }

    // MARK: Changing the machine

    /// Changes the machine, and does what follows from it.
    ///
    /// - Parameters:
    ///   - needsTime: whether the body's time counts also while nobody is connected. Otherwise it is 0 then: looking at a
    ///     clock takes time, too.
    @discardableResult
    func change<R: Sendable, E: Error>(
        needsTime: Bool = false, _ body: (inout StreamMachine, Duration) throws(E) -> R
    ) throws(E) -> R {
        var following = Following.nothing
        let result: Result<R, E> = state.withLock { state in
            let result: Result<R, E>
            do throws(E) {
                let now = needsTime || state.machine.followsChanges ? time.now : .zero
                result = .success(try body(&state.machine, now))
            } catch {
                result = .failure(error)
            }
            following = self.following(&state)
            return result
        }
        carryOut(following)
        return try result.get()
    }

    /// The same, with the time.
    @discardableResult
    func changeNow<R: Sendable>(_ body: (inout StreamMachine, Duration) -> R) -> R {
        change(needsTime: true, body)
    }

    /// To be called at the end of each change, under the lock. Mostly nothing follows, and nobody waits.
    @inline(__always)
    func following(_ state: inout State) -> Following {
        let directives = state.machine.takeDirectives()
        if directives.isSubset(of: .wake), !state.hasWaiters { return .nothing }
        return following(directives, &state)
    }

    private func following(_ directives: StreamMachine.Directives, _ state: inout State) -> Following {
        var directives = directives
        if directives.contains(.timer), let next = state.machine.nextDeadline,
            state.timer.map({ next < $0.at }) ?? true
        {
            wake(at: next, &state)
        }
        directives.subtract(state.hasWaiters ? .timer : [.timer, .wake])
        if directives.isEmpty { return .nothing }
        var consequences = Consequences()
        consequences.directives = directives
        if directives.contains(.wake) { consequences.woken = state.takeWaiters() }
        consequences.connection = state.connection
        if directives.contains(.abandon) {
            consequences.abandonments = state.machine.takeAbandonments(now: time.now)
            // In the step that gives the IDs up, so that their scope finds it whenever its body ends.
            for asked in consequences.abandonments where asked.isFirst && !asked.isLate {
                state.abandonments[asked.scope] = Abandonment()
            }
        }
        if directives.contains(.send), !state.isSending {
            consequences.messages = state.machine.takeMessages()
            state.isSending = !consequences.messages.isEmpty
        }
        return .consequences(consequences)
    }

    /// Sends what the machine says, one thread at a time, in its order.
    private func send(_ messages: [StreamMessage], over connection: (any ReplicationConnection)?) {
        var (messages, connection) = (messages, connection)
        while !messages.isEmpty {
            connection?.send(messages.map(command))
            log?.metrics.announced(messages)
            (messages, connection) = state.withLock { state in
                let messages = state.machine.takeMessages()
                state.isSending = !messages.isEmpty
                return (messages, state.connection)
            }
        }
    }

    @inline(__always)
    func carryOut(_ following: Following) {
        if case .consequences(let consequences) = following { carryOut(consequences) }
    }

    private func carryOut(_ consequences: Consequences) {
        for waiter in consequences.woken { waiter.resolve(()) }
        send(consequences.messages, over: consequences.connection)
        let directives = consequences.directives.subtracting([.wake, .send])
        if directives.isEmpty { return }
        if directives.contains(.report) {
            let reports = state.withLock { $0.machine.takeReports() }
            for report in reports { report.tell(logger, log?.metrics, outward: outward) }
        }
        if directives.contains(.caughtUp) { consequences.connection?.caughtUp() }
        for asked in consequences.abandonments { Task { await abandon(asked) } }
        let rest = directives.subtracting([.report, .caughtUp, .abandon])
        if !rest.isEmpty { carryOutThroughStore(rest) }
    }

    // MARK: Time

    /// For how long at most the task that waits for a deadline sleeps. It holds the generator meanwhile: a weak reference
    /// would make every other reference to it slower, for good.
    private static let longestSleep = Duration.seconds(30)

    /// One task for all deadlines, which wakes up at the earliest of them, if it is still there.
    private func wake(at deadline: Duration, _ state: inout State) {
        let wakeAt = min(deadline, time.now + Self.longestSleep)
        if let timer = state.timer, timer.at <= wakeAt { return }
        state.timer?.task.cancel()
        let task = Task { [time] in
            do { try await time.sleep(until: wakeAt) } catch { return }
            self.woken(at: wakeAt)
        }
        state.timer = (wakeAt, task)
    }

    private func woken(at wakeAt: Duration) {
        changeNow { machine, now in
            machine.timePassed(now: now)
        } unless: { state in
            // Another task, which wakes up earlier, took over in the meantime.
            guard state.timer?.at == wakeAt else { return true }
            state.timer = nil
            return false
        }
    }

    private func changeNow(_ body: (inout StreamMachine, Duration) -> Void, unless: (inout State) -> Bool) {
        var following = Following.nothing
        state.withLock { state in
            if unless(&state) { return }
            body(&state.machine, time.now)
            following = self.following(&state)
        }
        carryOut(following)
    }

    /// Lets the generator go at once where no scope runs any more, instead of when its timer wakes up.
    func stopTimer() {
        state.withLock { state in
            guard state.machine.inFlightCount == 0 else { return }
            state.timer?.task.cancel()
            state.timer = nil
        }
    }

    /// The log that used it is gone, perhaps without an orderly end.
    func release() {
        let connection = state.withLock { state in
            state.machine.detached()
            state.machine.stopRunning()
            state.timer?.task.cancel()
            state.timer = nil
            return state.connection.take()
        }
        if let connection { Task { await connection.close() } }
    }

    /// Returns when the watermark is not `old` any more, at the deadline, or when the task is cancelled.
    func waitForChange(from old: Watermark, until deadline: Duration?) async {
        let waiter = Waiter<Void>()
        let isWaiting = state.withLock { state in
            let watermark = state.machine.watermark
            guard watermark.membershipVersion == old.membershipVersion, outward(watermark.minimum) == old.minimum else {
                return false
            }
            state.add(waiter)
            return true
        }
        guard isWaiting else { return }
        await waiter.value(until: deadline, on: time, late: (), cancelled: ())
        state.withLock { $0.remove(waiter) }
    }

    /// Wakes everybody who waits for the watermark, so that they look at something else too.
    func wakeWaiters() {
        let waiters = state.withLock { $0.takeWaiters() }
        for waiter in waiters { waiter.resolve(()) }
    }

    // MARK: Replication, which makes it fast and nothing else

    /// Announces over this transport from now on, and hears the other writers, until ``disconnect()``. The connection holds
    /// the generator until then.
    ///
    /// - Throws: what the transport throws.
    public func connect(over transport: any ReplicationTransport) async throws {
        changeNow {
            $0.connecting(
                listensFirst: transport.listensFirst, belongsToDatabase: transport.belongsToDatabase, now: $1)
        }
        let connection = try await transport.connect(as: instance) { self.received($0) }
        let (isOver, former) = state.withLock { state in
            if state.machine.isStopped { return (true, Optional(connection)) }
            defer { state.connection = connection }
            return (false, state.connection)
        }
        await former?.close()
        if isOver { return }
        changeNow { $0.attached(now: $1) }
    }

    /// Says and hears nothing any more.
    public func disconnect() async {
        let connection = state.withLock { state in
            state.machine.detached()
            return state.connection.take()
        }
        await connection?.close()
    }

    /// Called from the transport's thread: takes what is said at once, and leaves the database to others.
    func received(_ event: ReplicationEvent) {
        switch event {
        case .connected:
            changeNow { $0.connected(now: $1) }
        case .disconnected(let reason):
            state.withLock { $0.machine.disconnected() }
            logger.debug("replication is disconnected", metadata: ["reason": "\(reason)"])
        case .command(.replicate):
            changeNow { $0.isAsked(now: $1) }
        case .command(.position(let position)) where position.writer.epoch == 0:
            changeNow { $0.heardOtherSoftware(position.stream, position.writer, now: $1) }
        case .command(.rdata(let row)) where row.writer.epoch == 0:
            changeNow { $0.heardOtherSoftware(row.stream, row.writer, now: $1) }
        case .command(.position(let position)) where position.stream == stream:
            changeNow { $0.received(counted(position.heard), now: $1) }
        case .command(.rdata(let row)) where row.stream == stream:
            guard let heard = row.heard else { return }
            changeNow { $0.received(HeardRow(heard.speaker, id: direction.counted(heard.id)), now: $1) }
        case .command(.checkpoint(let said)) where said.stream == stream:
            checkpoints.isSaid(said.consumer, at: said.position)
        case .command:
            break
        }
    }

    /// A consumer's checkpoint has moved, durably: those who wait for it, here and elsewhere, ask the database now.
    func announceCheckpoint(of consumer: ConsumerName, at position: StreamID) {
        checkpoints.isSaid(consumer, at: position)
        let connection = state.withLock { $0.machine.maySpeak ? $0.connection : nil }
        connection?.send([
            .checkpoint(ReplicationCheckpoint(stream: stream, consumer: consumer, position: position))
        ])
    }

    private func counted(_ heard: HeardPosition) -> HeardPosition {
        if direction == .forward { return heard }
        return HeardPosition(
            heard.speaker, previous: direction.counted(heard.previous), new: direction.counted(heard.new))
    }

    /// What the machine says, as a command.
    private func command(_ message: StreamMessage) -> ReplicationCommand {
        switch message {
        case .question: .replicate
        case .position(let speaker, let previous, let new):
            .position(
                ReplicationPosition(
                    stream: stream, writer: speaker.writer, nonce: speaker.nonce, previous: outward(previous),
                    new: outward(new)))
        case .event(let speaker, let id, let eventID):
            row(of: speaker, id, eventID.map { .array(of: $0) } ?? .emptyArray)
        case .tombstone(let speaker, let id):
            row(of: speaker, id, .null)
        }
    }

    private func row(of speaker: Speaker, _ id: StreamID, _ row: JSONText) -> ReplicationCommand {
        .rdata(
            ReplicationRow(
                stream: stream, writer: speaker.writer, nonce: speaker.nonce, token: .id(outward(id)), row: row))
    }
}

extension MultiWriterIDGenerator.Direction {
    /// The number that positions are tracked with, which counts up in both directions; and back. The least number has no
    /// counterpart, and anyone may say it: it stands for the one above it.
    func counted(_ id: StreamID) -> StreamID {
        self == .forward ? id : StreamID(-max(id.rawValue, -Int64.max))
    }
}

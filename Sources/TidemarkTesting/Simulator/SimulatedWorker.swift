import Tidemark

/// A process that runs a processor, in a simulation: the state machines of the library, and what is under way between them, the
/// database and the handlers. Asking, being answered, and writing are steps of their own, so that anything may come in between.
struct SimulatedWorker: Sendable {
    /// A handler that runs.
    struct Run: Sendable {
        let number: Int
        let partition: Int
        let claim: Int
        let event: Delivered
        let key: String?
        var isCancelled = false
    }

    /// What it does for its partitions.
    enum Action: CaseIterable, Sendable {
        case beat, takeLook, claim, read, count, start, end, checkpoint
    }

    /// How the processes of a simulation work.
    struct Configuration: Sendable {
        let processor: ProcessorName
        let partitions: Int
        /// After which a process that is silent loses its partitions.
        let timeout: Duration
        /// A rule that is taken away: a partition is claimed whatever has become of it.
        var claimsAnything = false
        /// A rule that is taken away: checkpoints go to the highest event that was handled.
        var passesHighest = false
        /// A rule that is taken away: where a checkpoint is lost, the next one goes on from it all the same.
        var missesLostCheckpoints = false
    }

    let id: ProcessorProcess
    let configuration: Configuration
    /// How often it does what: one beats seldom, another takes its time before it claims.
    private let pace: [Int]
    private(set) var machine: ProcessorMachine
    private var ownership: PartitionOwnership
    /// What a heartbeat was answered, when it was asked, and in which life of the database: the answer takes its time.
    private var look: (askedAt: Duration, places: [Int: StreamID], era: Era?, look: ProcessorLook)?
    /// The newest era when the last heartbeat was asked whose answer it has seen.
    private(set) var era: Era?
    /// What it has read, as it was then.
    private var events: [StreamID: (mark: CommitMark, key: String?)] = [:]
    private var claims: [PartitionObservation] = []
    private var forgetting: [ProcessSighting] = []
    private var checkpoints: [ProcessorMachine.Checkpoint] = []
    private(set) var runs: [Run] = []
    /// What its handlers did not handle, as often as is allowed: it is parked with the next checkpoint.
    private(set) var givenUp: Set<Delivered> = []

    /// A new process, of a number that no other one of the seed has.
    init(_ number: Int, seed: UInt64, _ configuration: Configuration, _ random: inout SplitMix64, now: Duration) {
        id = ProcessorProcess(Int64(bitPattern: SplitMix64.mixed(seed &+ UInt64(number))) | 1)
        pace = Action.allCases.map { _ in [1, 3, 6, 10][random.below(4)] }
        self.configuration = configuration
        var machine = ProcessorMachine.Configuration()
        machine.partitions = configuration.partitions
        machine.concurrency = 2
        machine.maximumAttempts = Self.maximumAttempts
        machine.windowEvents = 8
        machine.shortestDelay = .milliseconds(100)
        machine.longestDelay = .milliseconds(400)
        machine.confirmationLimit = configuration.timeout * 0.6
        self.machine = ProcessorMachine(configuration: machine, now: now)
        ownership = PartitionOwnership(process: id, timeout: configuration.timeout)
    }

    static let maximumAttempts = 2

    func nextAction(_ random: inout SplitMix64) -> Action {
        var chosen = random.below(pace.reduce(0, +))
        for (action, weight) in zip(Action.allCases, pace) {
            chosen -= weight
            if chosen < 0 { return action }
        }
        return .beat
    }

    // MARK: Time

    /// Handlers that are cancelled end some time later.
    mutating func timePassed(_ now: Duration) {
        machine.timePassed(now: now)
        takeCancellations()
    }

    private mutating func takeCancellations() {
        let cancelled = Set(machine.takeCancellations())
        if cancelled.isEmpty { return }
        for index in runs.indices where cancelled.contains(runs[index].number) { runs[index].isCancelled = true }
    }

    // MARK: Owning

    mutating func beat(_ database: inout InMemoryDatabase, _ now: Duration) throws(TidemarkError) {
        if look != nil { return }
        let era = database.streams[configuration.processor.stream]?.eras.last
        let beat = ProcessorBeat(process: id, forgetting: forgetting)
        look = (
            now, configuration.missesLostCheckpoints ? [:] : machine.positions, era,
            try database.beat(beat, of: configuration.processor)
        )
    }

    mutating func takeLook(_ now: Duration) {
        guard let (askedAt, places, era, look) = look else { return }
        self.look = nil
        self.era = era
        machine.confirmed(askedAt: askedAt, now: now)
        let machine = machine
        let decision = ownership.look(
            look.processes, look.partitions, owned: machine.owned, places: places, isReleasing: machine.isReleasing,
            mayClaim: { machine.mayClaim($0) }, awake: now)
        for partition in decision.lost { self.machine.lost(partition) }
        if let partition = decision.release { self.machine.release(partition) }
        claims = decision.claim
        forgetting = decision.forget
        takeCancellations()
    }

    mutating func claim(_ database: inout InMemoryDatabase) throws(TidemarkError) {
        var observed = claims
        claims = []
        if observed.isEmpty { return }
        if configuration.claimsAnything, let row = database.row(of: configuration.processor) {
            observed = observed.map { observed in
                let partition = row.partitions[observed.partition]
                return PartitionObservation(
                    partition: observed.partition, claim: partition.claim, owner: partition.owner,
                    heartbeat: partition.owner.flatMap { row.processes[$0]?.heartbeat })
            }
        }
        for claim in try database.claimPartitions(observed, of: configuration.processor, by: id)
        where machine.mayClaim(claim.partition) {
            machine.claimed(claim)
            // What was given up under an earlier claim and is not parked is read and handled again.
            givenUp = givenUp.filter { event in
                let key = events[event.streamID]?.key
                return PartitionHash.partition(ofKey: key, id: event.streamID, of: configuration.partitions)
                    != claim.partition
            }
        }
        takeCancellations()
    }

    // MARK: Reading

    /// From where to read; nil while no partition has room.
    mutating func nextRead() -> ProcessorMachine.Read? { machine.nextRead() }

    mutating func read(
        after place: StreamID, _ events: some Collection<PersistedEvent>, through end: StreamID, snapshot: SnapshotMark
    ) {
        for event in events { self.events[event.streamID] = (event.mark, event.event.key) }
        _ = machine.read(
            after: place, events.map { EventToHandle(id: $0.streamID, mark: $0.mark, key: $0.event.key) }, through: end,
            snapshot: snapshot)
        takeCancellations()
    }

    // MARK: Handling

    mutating func count(_ database: inout InMemoryDatabase, _ now: Duration) throws(TidemarkError) {
        let counts = machine.takeCounts(now: now)
        if counts.isEmpty { return }
        let answers = try database.countStarts(counts, of: configuration.processor)
        for (count, answer) in zip(counts, answers) { machine.counted(count, answer) }
        takeCancellations()
    }

    /// Begins a handler where one may begin.
    mutating func start(_ now: Duration) -> Run? {
        guard let start = machine.nextStart(now: now) else { return nil }
        guard let (mark, key) = events[start.id] else {
            preconditionFailure("\(start.id) is handled, and was not read")
        }
        let run = Run(
            number: start.run, partition: start.partition, claim: start.claim,
            event: Delivered(streamID: start.id, mark: mark), key: key)
        runs.append(run)
        return run
    }

    /// One of its handlers ends; what it has handled, nil where it has not.
    mutating func end(_ index: Int, succeeds: Bool, random: Double, _ now: Duration) -> Delivered? {
        let run = runs.remove(at: index)
        let succeeds = succeeds && !run.isCancelled
        let isOver = machine.ended(run.number, succeeds ? .succeeded : .failed("no"), now: now, random: random)
        if isOver, !succeeds, !run.isCancelled { givenUp.insert(run.event) }
        takeCancellations()
        return succeeds ? run.event : nil
    }

    // MARK: Checkpoints

    /// Takes checkpoints, and writes them the next time. Whether they were written.
    mutating func checkpoint(
        _ database: inout InMemoryDatabase, handled: Set<Delivered>
    ) throws(TidemarkError) -> Bool {
        guard !checkpoints.isEmpty else {
            checkpoints = machine.takeCheckpoints()
            return false
        }
        let checkpoints = checkpoints
        self.checkpoints = []
        var written = configuration.passesHighest ? checkpoints.map { raised($0, to: handled, database) } : checkpoints
        if configuration.missesLostCheckpoints { written = written.map(withoutBegin) }
        let answers = try database.checkpoint(written, of: configuration.processor)
        for (checkpoint, isOwned) in zip(checkpoints, answers) { machine.checkpointed(checkpoint, isOwned: isOwned) }
        database.moveConsumer(of: configuration.processor)
        takeCancellations()
        return true
    }

    /// Whether what it is about to write says that it has passed an event that is not there.
    func hasPassedLost(in stream: InMemoryDatabase.Stream) -> Bool {
        checkpoints.contains { $0.passage?.passed.map { !stream.holds($0) } ?? false }
    }

    private func withoutBegin(_ checkpoint: ProcessorMachine.Checkpoint) -> ProcessorMachine.Checkpoint {
        let passage = checkpoint.passage.map {
            Passage(
                position: $0.position, delivered: $0.delivered, passed: $0.passed, snapshot: $0.snapshot,
                parked: $0.parked)
        }
        return ProcessorMachine.Checkpoint(
            partition: checkpoint.partition, claim: checkpoint.claim, passage: passage, releases: checkpoint.releases)
    }

    /// To the highest event of the partition that was handled.
    private func raised(
        _ checkpoint: ProcessorMachine.Checkpoint, to handled: Set<Delivered>, _ database: InMemoryDatabase
    ) -> ProcessorMachine.Checkpoint {
        guard let passage = checkpoint.passage, let stream = database.streams[configuration.processor.stream],
            let highest = stream.events.last(where: { event in
                handled.contains(Delivered(streamID: event.streamID, mark: event.mark))
                    && PartitionHash.partition(
                        ofKey: event.event.key, id: event.streamID, of: configuration.partitions)
                        == checkpoint.partition
            })?.streamID, highest > passage.position
        else { return checkpoint }
        let further = Passage(
            begin: passage.begin, position: highest, delivered: passage.delivered, passed: nil,
            snapshot: passage.snapshot,
            parked: passage.parked)
        return ProcessorMachine.Checkpoint(
            partition: checkpoint.partition, claim: checkpoint.claim, passage: further, releases: checkpoint.releases)
    }
}

/// What the handlers of a processor have done, in whatever process and life of the database, and what must hold of it.
struct SimulatedEffects: Sendable {
    /// What does not hold.
    struct Problem: Sendable {
        enum Kind: Sendable { case twoHandlersOfOneKey, outOfOrder, passedUnhandled }

        let kind: Kind
        let text: String
    }

    private(set) var handled: Set<Delivered> = []

    mutating func handle(_ event: Delivered?) {
        if let event { handled.insert(event) }
    }

    /// No two handlers of one event, or of one key, run at once in processes that run.
    ///
    /// - Parameter counts: whether a handler counts. One whose claim was lost with the old primary does not know that yet.
    static func overlap(
        of running: [(process: Int, worker: SimulatedWorker)],
        counting counts: (SimulatedWorker, SimulatedWorker.Run) -> Bool = { _, _ in true }
    ) -> Problem? {
        var others: [(process: Int, run: SimulatedWorker.Run)] = []
        for (process, worker) in running {
            for run in worker.runs where !run.isCancelled && counts(worker, run) {
                let other = others.first {
                    $0.run.event.streamID == run.event.streamID || run.key != nil && $0.run.key == run.key
                }
                if let other {
                    return Problem(
                        kind: .twoHandlersOfOneKey,
                        text: "process \(process) handles event \(run.event.streamID) while process \(other.process) "
                            + "handles \(other.run.event.streamID)")
                }
                others.append((process, run))
            }
        }
        return nil
    }

    /// Every earlier event of the key was handled or is put aside when a handler starts.
    func order(
        _ run: SimulatedWorker.Run, of worker: SimulatedWorker, _ database: InMemoryDatabase
    ) -> Problem? {
        guard let key = run.key, let (events, row) = contents(database, worker.configuration) else { return nil }
        let place = row.partitions[run.partition]
        let before = events.first { event in
            let delivered = Delivered(streamID: event.streamID, mark: event.mark)
            return event.streamID > place.start && event.streamID < run.event.streamID && event.event.key == key
                && !handled.contains(delivered) && row.parked[event.streamID] == nil
                && !worker.givenUp.contains(delivered)
                // One that may have ended processes, as often as is allowed, is not started again.
                && place.attempts[event.streamID, default: 0] < SimulatedWorker.maximumAttempts
        }
        return before.map {
            Problem(
                kind: .outOfOrder, text: "event \(run.event.streamID) of key \(key) starts before \($0.streamID)")
        }
    }

    /// No checkpoint is above an event that is neither handled nor parked, but where it was moved by hand.
    func passed(_ configuration: SimulatedWorker.Configuration, _ database: InMemoryDatabase) -> Problem? {
        guard let (events, row) = contents(database, configuration) else { return nil }
        for event in events where row.parked[event.streamID] == nil {
            let number = PartitionHash.partition(
                ofKey: event.event.key, id: event.streamID, of: configuration.partitions)
            let partition = row.partitions[number]
            guard event.streamID > partition.start, event.streamID <= partition.position,
                !handled.contains(Delivered(streamID: event.streamID, mark: event.mark))
            else { continue }
            return Problem(
                kind: .passedUnhandled,
                text: "partition \(number) is at \(partition.position), and event \(event.streamID) was not handled")
        }
        return nil
    }

    private func contents(
        _ database: InMemoryDatabase, _ configuration: SimulatedWorker.Configuration
    ) -> (events: [PersistedEvent], row: InMemoryDatabase.ProcessorRow)? {
        guard let row = database.row(of: configuration.processor),
            let events = database.streams[configuration.processor.stream]?.events
        else { return nil }
        return (events, row)
    }
}

extension InMemoryDatabase {
    /// A processor that begins at the beginning, of a stream to which nothing has happened.
    mutating func makeProcessor(_ processor: ProcessorName, partitions: Int) {
        do throws(TidemarkError) {
            _ = try claim(processor.consumer, in: processor.stream)
            try openProcessor(processor, filter: .all, partitions: partitions)
        } catch {
            preconditionFailure("a new stream takes a processor: \(error)")
        }
    }

    /// Nil where there is no such processor.
    func row(of processor: ProcessorName) -> ProcessorRow? {
        streams[processor.stream]?.processors[processor.consumer]
    }
}

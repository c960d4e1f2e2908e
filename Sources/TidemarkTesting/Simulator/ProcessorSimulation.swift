import Tidemark

/// Processes that run one processor, as a seed draws them: they beat, claim partitions, read, handle, checkpoint, stop for a while and
/// crash, with the state machines of the library and the rules of a store. Every step is checked.
///
/// ```swift
/// for seed in 0..<1000 as Range<UInt64> {
///     var simulation = ProcessorSimulation(seed: seed)
///     try simulation.run()
/// }
/// ```
public struct ProcessorSimulation: Sendable {
    /// What can be switched off, to see that the simulation finds what then goes wrong.
    public enum Rule: String, CaseIterable, Hashable, Sendable {
        /// A partition is claimed only if it still is what was observed. Off: whatever became of it.
        case claimCompared
        /// A checkpoint goes to just below the lowest event that is not done. Off: to the highest that is.
        case lowestNotDone
    }

    /// What went wrong.
    public struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
        /// What sort of thing.
        public enum Kind: String, Hashable, Sendable {
            /// Two handlers of one key at once, of claims that are both good.
            case twoHandlersOfOneKey
            /// An event was started before an earlier one of its key was handled or parked.
            case outOfOrder
            /// A checkpoint is above an event that was neither handled nor parked.
            case passedUnhandled
            /// The faults stopped, and a partition found no owner, or did not come to the newest event, in time.
            case stuck
            /// A store's error that nothing is the reason for.
            case unexpected
        }

        /// What sort of thing went wrong.
        public let kind: Kind
        /// The seed of the run.
        public let seed: UInt64
        /// How many steps it took.
        public let step: Int
        /// What went wrong, for people.
        public let problem: String

        /// One line for people.
        public var description: String { "\(kind.rawValue) after \(step) steps of seed \(seed): \(problem)" }
    }

    private struct Run: Sendable {
        let number: Int
        let event: StreamID
        let key: String?
        var isCancelled = false
    }

    private struct Process: Sendable {
        var id: ProcessorProcess
        var machine: ProcessorMachine
        var ownership: PartitionOwnership
        /// How often it does what, beside the rest.
        let pace: [Int]
        var isUp = true
        /// Stopped as by SIGSTOP until then.
        var stoppedUntil = Duration.zero
        /// What a heartbeat was answered, and when it was asked: the answer takes its time.
        var look: (askedAt: Duration, look: ProcessorLook)?
        var claims: [PartitionObservation] = []
        var forgetting: [ProcessSighting] = []
        var checkpoints: [ProcessorMachine.Checkpoint] = []
        var runs: [Run] = []
        /// What its handler did not handle, as often as is allowed: it is parked with the next checkpoint.
        var givenUp: Set<StreamID> = []
    }

    private static let stream: StreamName = "simulated"
    private static let processor = ProcessorName("worker", of: stream)
    private static let partitions = 3
    private static let timeout = Duration.seconds(12)

    private let seed: UInt64
    private let withoutRule: Rule?
    private var random: SplitMix64
    private var database = InMemoryDatabase()
    private let writer: Writer
    private var processes: [Process] = []
    private var now = Duration.zero
    private var stepCount = 0
    /// All of the stream; the first has ID 1, the second 2.
    private var events: [PersistedEvent] = []
    private var handled: Set<StreamID> = []
    private var failure: Failure?
    private var lastProcess: Int64 = 0

    /// Nothing has happened yet.
    public init(seed: UInt64, withoutRule: Rule? = nil) {
        self.seed = seed
        self.withoutRule = withoutRule
        random = SplitMix64(seed: seed)
        writer = database.join(Self.stream, as: "p1").writer
        do throws(TidemarkError) {
            _ = try database.claim(ConsumerRequest(stream: Self.stream, consumer: Self.processor.consumer))
            try database.openProcessor(Self.processor, filter: .all, partitions: Self.partitions)
        } catch {
            failure = Failure(kind: .unexpected, seed: seed, step: 0, problem: "\(error)")
        }
        for _ in 0..<3 { processes.append(newProcess()) }
    }

    /// Faults for so many steps, and then none, until everything must have been handled.
    ///
    /// - Throws: ``Failure``, for the first thing that went wrong.
    public mutating func run(steps: Int = 1_200) throws(Failure) {
        for _ in 0..<20 { try persist() }
        for _ in 0..<steps { try step(hasFaults: true) }
        for number in processes.indices {
            processes[number].stoppedUntil = now
            if !processes[number].isUp { processes[number] = newProcess() }
        }
        let found = now + Self.timeout + .seconds(6)
        while now < found { try round() }
        for (number, partition) in rows.enumerated() {
            guard partition.owner.map({ owner in processes.contains { $0.id == owner } }) ?? false else {
                return try fail(.stuck, "partition \(number) has found no owner")
            }
        }
        let end = now + .seconds(60)
        while now < end, rows.contains(where: { $0.position < newest }) { try round() }
        guard rows.allSatisfy({ $0.position == newest }) else {
            return try fail(.stuck, "partitions are at \(rows.map(\.position)) of \(newest)")
        }
    }

    private var rows: [InMemoryDatabase.PartitionRow] {
        database.streams[Self.stream]?.processors[Self.processor.consumer]?.partitions ?? []
    }

    private var parked: Set<StreamID> {
        Set(database.streams[Self.stream]?.processors[Self.processor.consumer]?.parked.keys.map(\.self) ?? [])
    }

    private var newest: StreamID { events.last?.streamID ?? 0 }

    private mutating func newProcess() -> Process {
        var configuration = ProcessorMachine.Configuration()
        configuration.partitions = Self.partitions
        configuration.concurrency = 2
        configuration.maximumAttempts = 2
        configuration.windowEvents = 8
        configuration.shortestDelay = .milliseconds(100)
        configuration.longestDelay = .milliseconds(400)
        configuration.confirmationLimit = Self.timeout * 0.6
        lastProcess += 1
        let id = ProcessorProcess(Int64(bitPattern: SplitMix64.mixed(seed &+ UInt64(lastProcess))) | 1)
        return Process(
            id: id, machine: ProcessorMachine(configuration: configuration, now: now),
            ownership: PartitionOwnership(process: id, timeout: Self.timeout),
            pace: (0..<8).map { _ in [1, 3, 6, 10][random.below(4)] })
    }

    private mutating func fail(_ kind: Failure.Kind, _ problem: String) throws(Failure) {
        throw Failure(kind: kind, seed: seed, step: stepCount, problem: problem)
    }

    // MARK: What can happen

    private mutating func step(hasFaults: Bool) throws(Failure) {
        if let failure { throw failure }
        stepCount += 1
        now += .milliseconds(random.below(100))
        timePasses()
        try checkOverlaps()
        let number = random.below(processes.count)
        if hasFaults, try fault(number) { return }
        guard processes[number].isUp, processes[number].stoppedUntil <= now else { return }
        // Each has its own pace: one beats seldom, another takes its time before it claims.
        var chosen = random.below(processes[number].pace.reduce(0, +))
        let action = processes[number].pace.firstIndex { weight in
            chosen -= weight
            return chosen < 0
        }
        try act(number, action ?? 0)
    }

    /// Everybody does everything once.
    private mutating func round() throws(Failure) {
        stepCount += 1
        now += .milliseconds(100)
        timePasses()
        for number in processes.indices {
            for action in 0..<8 { try act(number, action) }
            while !processes[number].runs.isEmpty { end(number, 0, succeeds: true) }
        }
    }

    private mutating func fault(_ number: Int) throws(Failure) -> Bool {
        switch random.below(1_000) {
        case 0..<120:
            try persist()
            return true
        case 120..<126:
            if processes[number].isUp {
                database.endProcess(processes[number].id, of: Self.processor)
                processes[number].isUp = false
                processes[number].runs = []
            } else {
                processes[number] = newProcess()
            }
            return true
        case 126..<134:
            processes[number].stoppedUntil = now + .milliseconds(random.below(25_000))
            return true
        default: return false
        }
    }

    private mutating func persist() throws(Failure) {
        let key = random.chance(80) ? "k\(random.below(4))" : nil
        do throws(TidemarkError) {
            let event = Event(id: "\(events.count)", type: "noted", key: key)
            _ = try database.persist([event], in: Self.stream, by: writer)
            events = database.streams[Self.stream]?.events ?? []
        } catch {
            try fail(.unexpected, "\(error)")
        }
    }

    /// A process that is stopped notices nothing; when it goes on, it first sees how late it is.
    private mutating func timePasses() {
        for number in processes.indices where processes[number].isUp && processes[number].stoppedUntil <= now {
            processes[number].machine.timePassed(now: now)
            takeCancellations(number)
        }
    }

    /// Handlers that are cancelled end some time later.
    private mutating func takeCancellations(_ number: Int) {
        let cancelled = Set(processes[number].machine.takeCancellations())
        for index in processes[number].runs.indices where cancelled.contains(processes[number].runs[index].number) {
            processes[number].runs[index].isCancelled = true
        }
    }

    private mutating func act(_ number: Int, _ action: Int) throws(Failure) {
        if action == 5, let overlap = start(number) { return try fail(overlap.kind, overlap.problem) }
        do throws(TidemarkError) {
            switch action {
            case 0: try beat(number)
            case 1: takeLook(number)
            case 2: try claim(number)
            case 3: read(number)
            case 4: try count(number)
            case 5: break
            case 6:
                if processes[number].runs.isEmpty { return }
                end(number, random.below(processes[number].runs.count), succeeds: random.chance(80))
            default: try checkpoint(number)
            }
        } catch {
            return try fail(.unexpected, "\(error)")
        }
        takeCancellations(number)
        if action == 5 { try checkOverlaps() }
        if action == 7 { try check() }
    }

    private mutating func beat(_ number: Int) throws(TidemarkError) {
        if processes[number].look != nil { return }
        let beat = ProcessorBeat(process: processes[number].id, forgetting: processes[number].forgetting)
        processes[number].look = (now, try database.beat(beat, of: Self.processor))
    }

    private mutating func takeLook(_ number: Int) {
        guard let (askedAt, look) = processes[number].look else { return }
        processes[number].look = nil
        processes[number].machine.confirmed(askedAt: askedAt, now: now)
        let machine = processes[number].machine
        let decision = processes[number].ownership.look(
            look.processes, look.partitions, owned: machine.owned, isReleasing: machine.isReleasing,
            mayClaim: { machine.mayClaim($0) }, awake: now)
        for partition in decision.lost { processes[number].machine.lost(partition) }
        if let partition = decision.release { processes[number].machine.release(partition) }
        processes[number].claims = decision.claim
        processes[number].forgetting = decision.forget
    }

    private mutating func claim(_ number: Int) throws(TidemarkError) {
        var observed = processes[number].claims
        processes[number].claims = []
        if observed.isEmpty { return }
        if withoutRule == .claimCompared {
            let found = database.streams[Self.stream]?.processors[Self.processor.consumer]?.processes ?? [:]
            observed = observed.map { observed in
                let row = rows[observed.partition]
                return PartitionObservation(
                    partition: observed.partition, claim: row.claim, owner: row.owner,
                    heartbeat: row.owner.flatMap { found[$0]?.heartbeat })
            }
        }
        let claims = try database.claimPartitions(observed, of: Self.processor, by: processes[number].id)
        for claim in claims where processes[number].machine.mayClaim(claim.partition) {
            processes[number].machine.claimed(claim)
        }
    }

    private mutating func read(_ number: Int) {
        guard let place = processes[number].machine.nextRead()?.after else { return }
        let found = events.dropFirst(Int(place.rawValue)).prefix(5)
        guard let last = found.last else { return }
        _ = processes[number].machine.read(
            after: place,
            found.map { EventToHandle(id: $0.streamID, mark: $0.mark, key: $0.event.key) }, through: last.streamID,
            snapshot: SnapshotMark(newestCommit: database.streams[Self.stream]?.commitNumber ?? 0))
    }

    private mutating func count(_ number: Int) throws(TidemarkError) {
        let counts = processes[number].machine.takeCounts(now: now)
        if counts.isEmpty { return }
        let answers = try database.countStarts(counts, of: Self.processor)
        for (count, answer) in zip(counts, answers) { processes[number].machine.counted(count, answer) }
    }

    private mutating func end(_ number: Int, _ index: Int, succeeds: Bool) {
        let run = processes[number].runs.remove(at: index)
        let succeeds = succeeds && !run.isCancelled
        if succeeds { handled.insert(run.event) }
        let isOver = processes[number].machine.ended(
            run.number, succeeds ? .succeeded : .failed("no"), now: now, random: Double(random.below(1_000)) / 1_000)
        if isOver, !succeeds, !run.isCancelled { processes[number].givenUp.insert(run.event) }
    }

    private mutating func checkpoint(_ number: Int) throws(TidemarkError) {
        guard processes[number].checkpoints.isEmpty else {
            let checkpoints = processes[number].checkpoints
            processes[number].checkpoints = []
            let answers = try database.checkpoint(checkpoints.map(changed), of: Self.processor)
            for (checkpoint, isOwned) in zip(checkpoints, answers) {
                processes[number].machine.checkpointed(checkpoint, isOwned: isOwned)
            }
            database.moveConsumer(of: Self.processor)
            return
        }
        // It is written some time later.
        processes[number].checkpoints = processes[number].machine.takeCheckpoints()
    }

    private func changed(_ checkpoint: ProcessorMachine.Checkpoint) -> ProcessorMachine.Checkpoint {
        guard withoutRule == .lowestNotDone, let passage = checkpoint.passage,
            let highest = handled.filter({ partition(of: $0) == checkpoint.partition }).max(),
            highest > passage.position
        else { return checkpoint }
        let further = Passage(
            position: highest, delivered: passage.delivered, passed: nil, snapshot: passage.snapshot,
            parked: passage.parked)
        return ProcessorMachine.Checkpoint(
            partition: checkpoint.partition, claim: checkpoint.claim, passage: further, releases: checkpoint.releases)
    }

    private func partition(of id: StreamID) -> Int {
        PartitionHash.partition(
            ofKey: events[Int(id.rawValue) - 1].event.key, id: id, of: Self.partitions)
    }

    // MARK: What must hold

    /// A process that is stopped handles nothing; one that goes on has seen first how late it is.
    private func checkOverlaps() throws(Failure) {
        var running: [(process: Int, run: Run)] = []
        for (number, process) in processes.enumerated() where process.isUp && process.stoppedUntil <= now {
            for run in process.runs where !run.isCancelled { running.append((number, run)) }
        }
        for (place, one) in running.enumerated() {
            let other = running[..<place].first {
                $0.run.event == one.run.event || one.run.key != nil && $0.run.key == one.run.key
            }
            guard let other else { continue }
            throw Failure(
                kind: .twoHandlersOfOneKey, seed: seed, step: stepCount,
                problem: "process \(one.process) handles event \(one.run.event) while process \(other.process) handles "
                    + "\(other.run.event)")
        }
    }

    /// Begins a handler; what is wrong with that.
    private mutating func start(_ number: Int) -> (kind: Failure.Kind, problem: String)? {
        guard let start = processes[number].machine.nextStart(now: now) else { return nil }
        let key = events[Int(start.id.rawValue) - 1].event.key
        let run = Run(number: start.run, event: start.id, key: key)
        defer { processes[number].runs.append(run) }
        guard let key else { return nil }
        let parked = parked
        if let before = events.prefix(Int(start.id.rawValue) - 1).first(where: {
            $0.event.key == key && !handled.contains($0.streamID) && !parked.contains($0.streamID)
                && !processes[number].givenUp.contains($0.streamID)
                // One that may have ended processes, as often as is allowed, is not started again.
                && rows[start.partition].attempts[$0.streamID, default: 0] < 2
        }) {
            return (.outOfOrder, "event \(start.id) of key \(key) starts before \(before.streamID)")
        }
        return nil
    }

    private func check() throws(Failure) {
        let parked = parked
        let rows = rows
        for event in events where !handled.contains(event.streamID) && !parked.contains(event.streamID) {
            let number = partition(of: event.streamID)
            let row = rows[number]
            if event.streamID <= row.position {
                throw Failure(
                    kind: .passedUnhandled, seed: seed, step: stepCount,
                    problem: "partition \(number) is at \(row.position), and event \(event.streamID) was not handled")
            }
        }
    }
}

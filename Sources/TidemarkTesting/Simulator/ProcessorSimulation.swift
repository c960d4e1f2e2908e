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

    private struct Process: Sendable {
        var worker: SimulatedWorker
        var isUp = true
        /// Stopped as by SIGSTOP until then.
        var stoppedUntil = Duration.zero
    }

    private static let stream: StreamName = "simulated"
    private static let processor = ProcessorName("worker", of: stream)
    private static let partitions = 3
    private static let timeout = Duration.seconds(12)

    private let seed: UInt64
    private let configuration: SimulatedWorker.Configuration
    private var random: SplitMix64
    private var database = InMemoryDatabase()
    private let writer: Writer
    private var processes: [Process] = []
    private var now = Duration.zero
    private var stepCount = 0
    /// All of the stream; the first has ID 1, the second 2.
    private var events: [PersistedEvent] = []
    private var effects = SimulatedEffects()
    private var lastProcess = 0

    /// Nothing has happened yet.
    public init(seed: UInt64, withoutRule: Rule? = nil) {
        self.seed = seed
        configuration = SimulatedWorker.Configuration(
            processor: Self.processor, partitions: Self.partitions, timeout: Self.timeout,
            claimsAnything: withoutRule == .claimCompared, passesHighest: withoutRule == .lowestNotDone)
        random = SplitMix64(seed: seed)
        writer = database.join(Self.stream, as: "p1").writer
        database.makeProcessor(Self.processor, partitions: Self.partitions)
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
            guard partition.owner.map({ owner in processes.contains { $0.worker.id == owner } }) ?? false else {
                return try fail(.stuck, "partition \(number) has found no owner")
            }
        }
        let end = now + .seconds(60)
        while now < end, rows.contains(where: { $0.position < newest }) { try round() }
        guard rows.allSatisfy({ $0.position == newest }) else {
            return try fail(.stuck, "partitions are at \(rows.map(\.position)) of \(newest)")
        }
    }

    private var rows: [InMemoryDatabase.PartitionRow] { database.row(of: Self.processor)?.partitions ?? [] }
    private var newest: StreamID { events.last?.streamID ?? 0 }

    private mutating func newProcess() -> Process {
        lastProcess += 1
        return Process(worker: SimulatedWorker(lastProcess, seed: seed, configuration, &random, now: now))
    }

    private mutating func fail(_ kind: Failure.Kind, _ problem: String) throws(Failure) {
        throw Failure(kind: kind, seed: seed, step: stepCount, problem: problem)
    }

    // MARK: What can happen

    private mutating func step(hasFaults: Bool) throws(Failure) {
        stepCount += 1
        now += .milliseconds(random.below(100))
        timePasses()
        try checkOverlaps()
        let number = random.below(processes.count)
        if hasFaults, try fault(number) { return }
        guard processes[number].isUp, processes[number].stoppedUntil <= now else { return }
        try act(number, processes[number].worker.nextAction(&random))
    }

    /// Everybody does everything once.
    private mutating func round() throws(Failure) {
        stepCount += 1
        now += .milliseconds(100)
        timePasses()
        for number in processes.indices {
            for action in SimulatedWorker.Action.allCases { try act(number, action) }
            while !processes[number].worker.runs.isEmpty { end(number, 0, succeeds: true) }
        }
    }

    private mutating func fault(_ number: Int) throws(Failure) -> Bool {
        switch random.below(1_000) {
        case 0..<120:
            try persist()
            return true
        case 120..<126:
            if processes[number].isUp {
                database.endProcess(processes[number].worker.id, of: Self.processor)
                processes[number].isUp = false
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
            processes[number].worker.timePassed(now)
        }
    }

    private mutating func act(_ number: Int, _ action: SimulatedWorker.Action) throws(Failure) {
        do throws(TidemarkError) {
            switch action {
            case .beat: try processes[number].worker.beat(&database, now)
            case .takeLook: processes[number].worker.takeLook(now)
            case .claim: try processes[number].worker.claim(&database)
            case .read: read(number)
            case .count: try processes[number].worker.count(&database, now)
            case .start: break
            case .end:
                let count = processes[number].worker.runs.count
                if count > 0 { end(number, random.below(count), succeeds: random.chance(80)) }
            case .checkpoint:
                if try processes[number].worker.checkpoint(&database, handled: effects.handled) { break }
                return
            }
        } catch {
            return try fail(.unexpected, "\(error)")
        }
        if action == .start { try start(number) }
        if action == .checkpoint { try require(effects.passed(configuration, database)) }
    }

    private mutating func read(_ number: Int) {
        guard let place = processes[number].worker.nextRead()?.after else { return }
        let found = events.dropFirst(Int(place.rawValue)).prefix(5)
        guard let last = found.last else { return }
        processes[number].worker.read(
            after: place, found, through: last.streamID,
            snapshot: SnapshotMark(newestCommit: database.streams[Self.stream]?.commitNumber ?? 0))
    }

    private mutating func start(_ number: Int) throws(Failure) {
        guard let run = processes[number].worker.start(now) else { return }
        try require(effects.order(run, of: processes[number].worker, database))
        try checkOverlaps()
    }

    private mutating func end(_ number: Int, _ index: Int, succeeds: Bool) {
        effects.handle(
            processes[number].worker.end(
                index, succeeds: succeeds, random: Double(random.below(1_000)) / 1_000, now))
    }

    // MARK: What must hold

    /// A process that is stopped handles nothing; one that goes on has seen first how late it is.
    private func checkOverlaps() throws(Failure) {
        let running = processes.enumerated().filter { $0.element.isUp && $0.element.stoppedUntil <= now }
        try require(SimulatedEffects.overlap(of: running.map { ($0.offset, $0.element.worker) }))
    }

    private func require(_ problem: SimulatedEffects.Problem?) throws(Failure) {
        guard let problem else { return }
        let kind: Failure.Kind =
            switch problem.kind {
            case .twoHandlersOfOneKey: .twoHandlersOfOneKey
            case .outOfOrder: .outOfOrder
            case .passedUnhandled: .passedUnhandled
            }
        throw Failure(kind: kind, seed: seed, step: stepCount, problem: problem.text)
    }
}

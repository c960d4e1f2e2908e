import Tidemark

/// Writers, readers, closers, a network and a database in one thread, with the real state machines, deterministic to
/// the last bit: the same seed gives the same history, in every process and on every machine.
///
/// ```swift
/// var simulation = Simulation(seed: 42)
/// try simulation.run()
/// ```
///
/// ## How it works
///
/// Each step does one thing that could happen next, drawn from the seed: a process starts, fetches, commits, gives up,
/// announces, reads, closes another, crashes, is stopped; a message or an answer arrives, is lost, repeated or late;
/// the database crashes. Each seed also draws how likely each of these is, and which are left out, how many processes
/// there are, and who shares a name. A request to the database, its transaction and its answer are steps of their own,
/// and so are the watermark, the snapshot and the delivery of a batch, so that anything may come in between.
///
/// After each step all that the step has changed is checked, as ``SimulationFailure/Kind`` lists it. In liveness mode
/// the faults stop at the end, while crashed and stopped processes stay as they are, and the minimum and every reader
/// that runs must reach the newest event within the timeout, a heartbeat and a reconciling interval.
///
/// To show that the checks find faults, rules can be switched off: ``SimulationConfiguration/Rule``.
///
/// ## What is real
///
/// `StreamMachine` and `ReaderCursor` are the ones that run in production, and so are the transactions of
/// ``InMemoryDatabase``, which stores in memory use. Each process has one machine, and everything goes into it by the
/// functions that its shell calls in production: no rule is written a second time here.
///
/// ## What is not, and where it departs from reality
///
/// - There are a few processes, one stream, at most about 50 IDs and 500 steps: what goes wrong, goes wrong small.
/// - Time is only what timeouts and intervals are measured with: each step takes up to 30 ms, and in safety mode
///   heartbeats, reconciling and closing come whenever the seed says, whatever the clock.
/// - A transaction happens at one moment. One that is under way is a request that was not served yet; it sees nothing
///   of the database before, which only makes more possible than a real one allows.
/// - A crash of the database ends all that is under way and takes the sequence back to the last commit. Where the
///   database is a file that is a crash of the machine. Torn writes and a disk that lies are not simulated.
/// - A backup is put back while nobody runs; what was said before it is heard after it. A copy that lags takes over while
///   processes run, where ``SimulationConfiguration/promotes`` says so: what is under way then is lost, and the old database
///   takes nothing any more. Claims, checkpoints and what is parked are those of the copy then; who has read, handled or decided
///   more must not skip anything that is there.
/// - A peer that lies does so far above the sequence: within it a lie cannot be told from the truth. The writers of
///   another database on the channel say single lines, in the names and epochs of members.
/// - After a fault, who was about to persist an event tries again under the same id, or not at all.
/// - In one seed of four the stream has an index of keys. Whoever decides on a key's events knows all of them at that moment; a
///   group that has its IDs before it commits locks its keys, and others wait for them.
/// - In one seed of four the processes that read run a processor: its partitions are claimed, read, handled and checkpointed by
///   the machines of the library, and its handlers do what outlives every process and every life of the database.
/// - SQLite, PostgreSQL, sockets and the wire format are not in it.
public struct Simulation: Sendable {
    /// What everything that happens follows from, together with the configuration.
    public let seed: UInt64
    /// What may happen.
    public let configuration: SimulationConfiguration
    /// Steps taken so far.
    public internal(set) var stepCount = 0

    var random: SplitMix64
    var history: SimulationHistory
    var database: SimulatedDatabase
    var processes: [SimulatedProcess] = []
    var requests: [SimulatedRequest] = []
    var answers: [SimulatedAnswer] = []
    var announcements: [SimulatedAnnouncement] = []
    /// The clock of the simulation.
    var now = Duration.zero
    var lastRequest = 0
    var lastEvent = 0
    /// Events that nobody could persist so far.
    var retries: [Event] = []
    /// Where events are that were acknowledged to those who wrote them, in the order of the acknowledgements.
    var acknowledged: [(event: String, id: StreamID)] = []
    /// The highest position that each writer has announced, or has in the database.
    var promises: [Writer: StreamID] = [:]
    /// What the database had for the membership version, and for each name, when that was checked last.
    var lastVersion = 0
    var lastRows: [InstanceName: (epoch: Int, position: StreamID)] = [:]
    /// The first thing that went wrong.
    var failure: SimulationFailure?
    let choices: SimulationChoices
    /// Whether the stream has an index of keys, and events have keys. Nothing is drawn for it, so that the histories of the other
    /// seeds are what they would be without.
    let hasKeys: Bool
    let hasReplication: Bool
    let prunes: Bool
    let keepsTable: Bool
    /// Whether the processes that read run a processor, how they do, and what its handlers have done.
    let runsProcessor: Bool
    let workers: SimulatedWorker.Configuration
    var effects = SimulatedEffects()
    var lastWorker = 0
    /// From whom to whom nothing gets through while there are faults: the number of the sender times the count of
    /// processes, plus that of the receiver.
    var cutLinks: Set<Int> = []

    /// What decides what else there is in a seed, beside what is drawn: so other seeds' histories are what they would be without.
    /// With promotions it is another number, so that the histories that tests name stay what they are.
    static func scattered(_ seed: UInt64, _ configuration: SimulationConfiguration) -> UInt64 {
        SplitMix64.mixed(configuration.promotes ? seed &+ 11 : seed)
    }

    private static func hasKeys(seed: UInt64, _ configuration: SimulationConfiguration) -> Bool {
        if configuration.withoutRule == .newestOfKey { return true }
        guard configuration.promotes else { return seed % 4 == 1 }
        return configuration.withoutRule == nil && scattered(seed, configuration) / 64 % 4 == 0
    }

    /// Nothing has happened yet; ``SimulationConfiguration`` says how to go on.
    public init(seed: UInt64, configuration: SimulationConfiguration = SimulationConfiguration()) {
        self.seed = seed
        self.configuration = configuration
        var random = SplitMix64(seed: seed)
        history = SimulationHistory(isKept: configuration.recordsHistory)
        let kinds = SimulationConfiguration.Database.allCases
        let drawn = kinds[random.below(kinds.count)]
        hasKeys = Self.hasKeys(seed: seed, configuration)
        let kind = configuration.promotes ? .sequenceMadeDurableByCommits : drawn
        runsProcessor = Self.runsProcessor(seed: seed, configuration)
        workers = Self.workers(seed: seed, without: configuration.withoutRule)
        database = SimulatedDatabase(
            kind: configuration.database ?? kind, withoutRule: configuration.withoutRule, hasKeyIndex: hasKeys,
            hasProcessor: runsProcessor)
        choices = SimulationChoices(
            random: &random,
            promotes: configuration.promotes && configuration.consumer == nil)
        hasReplication = !random.chance(10)
        keepsTable = Self.keepsTable(seed: seed, configuration)
        prunes = Self.prunes(seed: seed, configuration)
        let names: [InstanceName] = ["p1", "p2", "p3"]
        let nameCount = [1, 2, 2, 2, 3][random.below(5)]
        let writerCount = max(nameCount, 2 + random.below(3))
        for number in 0...writerCount {
            let isWriter = number < writerCount
            processes.append(
                SimulatedProcess(
                    number: number, instance: isWriter ? names[number % nameCount] : "reader", isWriter: isWriter,
                    hasReader: !isWriter || random.chance(60), consumer: configuration.consumer))
        }
        let cutPercent = [0, 0, 20, 50][random.below(4)]
        for link in 0..<processes.count * processes.count where random.chance(cutPercent) { cutLinks.insert(link) }
        self.random = random
    }

    /// A hash over everything that has happened: the same for the same seed, in every process and on every machine.
    public var historyHash: UInt64 { history.hash }

    /// One line for each thing that happened, when the configuration asked for it.
    public var historyLines: [String] { history.lines }

    /// The IDs and ids of the events in the database, in order.
    public var events: [PersistedEvent] { database.stream.events }

    /// Takes as many steps as the configuration says; in liveness mode the faults then stop, and time goes on until the
    /// minimum must have reached the newest event.
    ///
    /// - Throws: ``SimulationFailure``, for the first thing that went wrong.
    public mutating func run() throws(SimulationFailure) {
        try run(steps: configuration.steps)
        if configuration.mode == .liveness { try runWithoutFaults() }
        checkAcknowledged()
        for number in processes.indices { verifyConsumer(number) }
        try throwFailure()
    }

    /// - Throws: ``SimulationFailure``, for the first thing that went wrong.
    public mutating func run(steps: Int) throws(SimulationFailure) {
        for _ in 0..<steps { try step() }
    }

    /// One thing that could happen next.
    ///
    /// - Throws: ``SimulationFailure``, when a check fails after it.
    public mutating func step() throws(SimulationFailure) {
        stepCount += 1
        now += .milliseconds(random.below(30))
        // What was chosen may not be possible now; then something else is.
        for _ in 0..<64 {
            if perform(choices.next(&random)) { break }
        }
        pruneNowAndThen()
        workNowAndThen()
        try throwFailure()
    }

    func throwFailure() throws(SimulationFailure) {
        if let failure { throw failure }
    }

    /// Remembers the first failure. Where a rule is switched off nothing but a skipped event ends the simulation, or what else
    /// the rule is good for: what comes before is only how it gets there.
    mutating func fail(_ kind: SimulationFailure.Kind, _ problem: String) {
        guard failure == nil else { return }
        if let rule = configuration.withoutRule, kind != rule.failure, kind != .consumer { return }
        history.add("FAILED: \(kind.rawValue): \(problem)")
        failure = SimulationFailure(
            kind: kind, seed: seed, step: stepCount, problem: problem, mode: configuration.mode,
            withoutRule: configuration.withoutRule, promotes: configuration.promotes, history: history.lines)
    }
}

import Tidemark

/// One process of a simulation: the real state machines, and what it is about to do with them.
struct SimulatedProcess: Sendable {
    enum Phase: Hashable, Sendable {
        case down
        /// It has asked the database for an epoch.
        case joining
        case up
    }

    /// IDs of a scope, and how far its body has come.
    struct Scope: Sendable {
        enum Phase: Hashable, Sendable {
            case held
            case committing
            /// The database is asked what became of its IDs.
            case abandoning
        }

        let number: Int
        let ids: [StreamID]
        let events: [Event]
        let incarnation: Int
        var phase: Phase
    }

    /// An answer of the sequence, or a group's transaction, that is waited for.
    struct Fetch: Sendable {
        /// The number of the request.
        let request: Int
        /// The number that the tracker knows it by.
        let floor: Int
        let events: [Event]
        let isGroup: Bool
        let since: Duration
    }

    /// How far the reader has come with a batch.
    enum Reading: Sendable {
        case idle
        case asked(SnapshotRequest, PositionTracker.Note)
        case seen(SnapshotRequest, PositionTracker.Note, Snapshot)
        /// The wrong order: the snapshot, opened before the watermark is computed.
        case opened(InMemoryDatabase)
    }

    /// What is gone when the process crashes.
    struct Memory: Sendable {
        var tracker: PositionTracker
        var schedule = AnnouncementSchedule(announced: 0)
        var writer: Writer?
        var isRejoining = false
        /// Another process took the name: it writes no more, and reads on.
        var isFailed = false
        var scopes: [Scope] = []
        /// Bodies that go on after their scope ran over its limit: nothing can stop a body, and it may commit yet.
        var lateBodies: [Scope] = []
        var lastScope = 0
        var fetches: [Fetch] = []
        var cursor = ReaderCursor(after: 0)
        var reading = Reading.idle
        var claim: ConsumerClaim?
        /// The last batch that the reader delivered, for its checkpoint.
        var batch: EventBatch?
        /// Decides whom it closes.
        var watch = SilenceWatch(
            timeout: SimulationConfiguration.Timing.timeout, retirement: SimulationConfiguration.Timing.retirement)
        /// What it has seen of others some time ago.
        var observations: [WriterObservation] = []
        /// The writers and the cursor as they were last, for the check that they only rise.
        var positions: [Writer: StreamID] = [:]
        var lastCursor: StreamID = 0
    }

    let number: Int
    let instance: InstanceName
    let isWriter: Bool
    /// Whether anybody reads in it. Who does learns of the members from each snapshot, too.
    let hasReader: Bool
    var phase = Phase.down
    /// Stopped, as by SIGSTOP: it does nothing and hears nothing, and what it has sent goes on.
    var isStopped = false
    /// In this life it has nothing to write: it joins, announces, reads, and is waited for.
    var isIdle = false
    /// In this life its heartbeats and its reconciling are so late that nothing comes of them until the faults stop.
    var isQuiet = false
    /// Which life of the process it is.
    var run = 0
    var memory: Memory
    /// The highest cursor of its reader, in whichever life.
    var reached: StreamID = 0
    var consumer: (any SimulationConsumer)?

    /// As the history names it: several processes may have the same instance name.
    var name: String { "\(instance)(\(number))" }
    var consumerName: ConsumerName { ConsumerName(stringLiteral: "consumer\(number)") }
    var isActive: Bool { phase == .up && !isStopped }
    /// Whether it may begin to write something.
    var mayWrite: Bool { isActive && memory.writer != nil && !memory.isFailed }

    /// Enough is under way: more would only make the history longer.
    var isBusy: Bool { memory.fetches.count + memory.scopes.count >= 3 }

    init(
        number: Int, instance: InstanceName, isWriter: Bool, hasReader: Bool, consumer: (any SimulationConsumer)?
    ) {
        self.number = number
        self.instance = instance
        self.isWriter = isWriter
        self.hasReader = hasReader
        self.consumer = consumer
        memory = Memory(instance: instance)
    }
}

extension SimulatedProcess.Memory {
    init(instance: InstanceName) {
        tracker = PositionTracker(instance: instance, members: [:], version: 0, sequence: 0)
    }

    init(instance: InstanceName, joined: Joined) {
        tracker = PositionTracker(
            instance: instance, members: joined.membership.members, version: joined.membership.version,
            nonces: joined.membership.nonces, sequence: joined.position)
        tracker.pin(to: joined.writer)
        writer = joined.writer
        schedule = AnnouncementSchedule(announced: joined.position)
    }
}

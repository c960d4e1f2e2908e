import Tidemark

/// The database of a simulation: the in-memory one, with what its crashes lose, and with rules that can be taken away.
struct SimulatedDatabase: Sendable {
    static let stream: StreamName = "events"
    /// Where one is run.
    static let processor = ProcessorName("worker", of: stream)
    static let partitions = 3

    private(set) var contents = InMemoryDatabase()
    /// What a crash takes the sequence back to.
    private(set) var durableSequence: StreamID = 0
    /// How often the database has started.
    private(set) var incarnation = 1
    private var backup: InMemoryDatabase?
    /// A copy that follows, and lags.
    private var standby: InMemoryDatabase?
    let kind: SimulationConfiguration.Database
    let withoutRule: SimulationConfiguration.Rule?

    /// An event that was just committed.
    struct Commit {
        let id: StreamID
        let writer: Writer
    }

    init(
        kind: SimulationConfiguration.Database, withoutRule: SimulationConfiguration.Rule?, hasKeyIndex: Bool = false,
        hasProcessor: Bool = false
    ) {
        self.kind = kind
        self.withoutRule = withoutRule
        contents.streams[Self.stream] = contents.existing(orNew: Self.stream)
        contents.streams[Self.stream]?.countsVersions = withoutRule == .versionJump
        contents.streams[Self.stream]?.ignoresEras = withoutRule == .eras
        // Without the rule there is none that anybody could look into.
        if hasKeyIndex, withoutRule != .newestOfKey { contents.streams[Self.stream]?.keyIndex = .complete }
        if hasProcessor { contents.makeProcessor(Self.processor, partitions: Self.partitions) }
    }

    var stream: InMemoryDatabase.Stream { contents.existing(orNew: Self.stream) }

    // MARK: Transactions

    /// A commit makes the log durable up to itself, and with it the sequence.
    private mutating func madeDurable() {
        durableSequence = stream.sequence
    }

    /// Runs a transaction as if the rule that is switched off did not exist.
    private mutating func transaction<Value>(
        by writer: Writer, ids: [StreamID],
        _ body: (inout InMemoryDatabase) throws(TidemarkError) -> Value
    ) throws(TidemarkError) -> Value {
        var copy = contents
        let row = stream.writers[writer.instance]
        switch withoutRule {
        case .epochCheck:
            copy.streams[Self.stream]?.writers[writer.instance]?.epoch = writer.epoch
            copy.streams[Self.stream]?.writers[writer.instance]?.isMember = true
        case .durablePositionCheck:
            copy.streams[Self.stream]?.writers[writer.instance]?.position = 0
        case .tombstoneCheck:
            for id in ids {
                if case .tombstone = copy.streams[Self.stream]?.rows[id] { copy.streams[Self.stream]?.rows[id] = nil }
            }
        default: break
        }
        let value = try body(&copy)
        contents = copy
        if withoutRule != nil { contents.streams[Self.stream]?.writers[writer.instance] = row }
        return value
    }

    mutating func allocate(_ count: Int, for writer: Writer) throws(TidemarkError) -> [StreamID] {
        let ids = try transaction(by: writer, ids: []) { database throws(TidemarkError) in
            try database.allocate(count, in: Self.stream, for: writer)
        }
        if kind == .durableSequence { madeDurable() }
        return ids
    }

    /// Somebody took an ID and is gone, or rolled back what it was for: it is nobody's, and gets no row.
    mutating func waste() -> StreamID {
        let id = StreamID(stream.sequence.rawValue + 1)
        contents.streams[Self.stream]?.sequence = id
        if kind == .durableSequence { madeDurable() }
        return id
    }

    /// All of the events, or none: then an ID that its event's key has passed gets its tombstone all the same.
    mutating func commit(
        _ events: [Event], as ids: [StreamID], by writer: Writer
    ) throws(TidemarkError) -> (outcomes: [PersistOutcome], commits: [Commit]) {
        let outcomes: [PersistOutcome]
        do throws(TidemarkError) {
            outcomes = try transaction(by: writer, ids: ids) { database throws(TidemarkError) in
                var outcomes: [PersistOutcome] = []
                for (event, id) in zip(events, ids) {
                    outcomes.append(try database.persist(event, as: id, in: Self.stream, by: writer))
                }
                return outcomes
            }
        } catch {
            if case .keyPassed(_, _, let id, _) = error {
                _ = try contents.abandon([id], in: Self.stream)
                madeDurable()
            }
            throw error
        }
        madeDurable()
        return (outcomes, commits(of: outcomes, by: writer))
    }

    mutating func persistGroup(
        _ group: EventGroup
    ) throws(TidemarkError) -> (persisted: PersistedGroup, commits: [Commit]) {
        try requireFence(of: group)
        let unfenced = unfenced(group)
        let persisted = try transaction(by: group.writer, ids: []) { database throws(TidemarkError) in
            try database.persist(unfenced)
        }
        madeDurable()
        return (persisted, commits(of: persisted.outcomes, by: group.writer))
    }

    /// The calls of which nothing would be written now.
    func refusals(of group: EventGroup) throws(TidemarkError) -> [Int: CallRefusal] {
        if !group.hasConditions { return [:] }
        var copy = self
        return try copy.persistGroup(group).persisted.refusals
    }

    /// The fence was looked at, where that is a rule. Without the rule of keys nobody has a condition.
    private func unfenced(_ group: EventGroup) -> EventGroup {
        EventGroup(
            group.events, in: group.stream, by: group.writer, fence: .max,
            calls: withoutRule == .newestOfKey ? nil : group.calls)
    }

    /// Rule 5.
    func requireFence(of group: EventGroup) throws(TidemarkError) {
        guard withoutRule != .fence, let row = stream.writers[group.writer.instance], row.epoch == group.writer.epoch,
            group.fence < row.fence
        else { return }
        throw .fenced(stream: Self.stream, writer: group.writer, fence: row.fence)
    }

    mutating func settle(_ group: EventGroup) throws(TidemarkError) -> Settlement {
        let settlement = try contents.settle([group])
        madeDurable()
        return settlement
    }

    private func commits(of outcomes: [PersistOutcome], by writer: Writer) -> [Commit] {
        outcomes.compactMap { outcome in
            if case .persisted(let id) = outcome { Commit(id: id, writer: writer) } else { nil }
        }
    }

    /// IDs of an earlier incarnation get no tombstone: their rows are only looked up.
    mutating func abandon(
        _ ids: [StreamID], incarnation: Int
    ) throws(TidemarkError) -> (committed: [StreamID], void: [StreamID]) {
        if incarnation == self.incarnation {
            let committed = try contents.abandon(ids, in: Self.stream).committed
            madeDurable()
            return (committed, [])
        }
        let rows = stream.rows
        return (
            ids.filter { if case .event = rows[$0] { true } else { false } },
            ids.filter { rows[$0] == nil }
        )
    }

    // MARK: Membership

    mutating func join(_ instance: InstanceName, after writer: Writer?) throws(TidemarkError) -> Joined {
        let joined: Joined
        if let writer {
            joined = try contents.rejoin(Self.stream, after: writer)
        } else {
            joined = contents.join(Self.stream, as: instance)
        }
        madeDurable()
        return joined
    }

    mutating func leave(_ writer: Writer) {
        contents.leave(Self.stream, as: writer)
        madeDurable()
    }

    mutating func heartbeat(_ beat: Heartbeat) throws(TidemarkError) -> HeartbeatAnswer {
        let answer = try contents.heartbeat(beat)
        madeDurable()
        return answer
    }

    mutating func closeWriter(_ observed: WriterObservation) throws(TidemarkError) {
        if try contents.closeWriter(Self.stream, observed: observed) != nil { madeDurable() }
    }

    mutating func retire(_ observed: WriterObservation) throws(TidemarkError) {
        if try contents.retire(Self.stream, observed: observed) { madeDurable() }
    }

    mutating func closeWriter(_ instance: InstanceName) throws(TidemarkError) {
        _ = try contents.closeWriter(Self.stream, instance: instance)
        madeDurable()
    }

    /// The operating system can say of this writer that its process is gone.
    mutating func endProcess(of writer: Writer) {
        guard let row = stream.writers[writer.instance], row.epoch == writer.epoch else { return }
        contents.endProcess(of: writer.instance, in: Self.stream)
    }

    // MARK: Consumers

    mutating func claim(_ consumer: ConsumerName) throws(TidemarkError) -> ConsumerClaim {
        try contents.claim(consumer, in: Self.stream)
    }

    mutating func checkpoint(
        _ claim: ConsumerClaim, from begin: StreamID?, at position: StreamID, snapshot: SnapshotMark, passed: Delivered?
    ) throws(TidemarkError) {
        try contents.checkpoint(claim, from: begin, at: position, snapshot: snapshot, passed: passed)
        madeDurable()
    }

    mutating func claim(_ consumer: ConsumerName, from start: ConsumerStart) throws(TidemarkError) -> ConsumerClaim {
        var request = ConsumerRequest(stream: Self.stream, consumer: consumer, key: 0)
        request.start = start
        return try contents.claim(request)
    }

    mutating func moveConsumer(_ consumer: ConsumerName, to start: ConsumerStart) throws(TidemarkError) {
        _ = try contents.move(consumer, in: Self.stream, to: start)
        madeDurable()
    }

    /// A transaction of a process that runs the processor.
    mutating func work<Value>(
        _ body: (inout InMemoryDatabase) throws(TidemarkError) -> Value
    ) throws(TidemarkError) -> Value {
        let value = try body(&contents)
        madeDurable()
        return value
    }

    /// The operating system can say that it is gone.
    mutating func endProcess(_ process: ProcessorProcess) {
        contents.endProcess(process, of: Self.processor)
    }

    mutating func prune(_ request: PruneRequest) throws(TidemarkError) -> PruneStep {
        let step = try contents.prune(request, ignoringPositions: withoutRule == .pruningBelowPositions)
        madeDurable()
        return step
    }

    // MARK: Backups

    var hasBackup: Bool { backup != nil }

    mutating func backUp() {
        backup = contents
    }

    /// Another life begins: with the end of all epochs, for no member's process is alive.
    mutating func restore() {
        guard let backup else { return }
        // It follows this life, and may be ahead of what is put back.
        standby = nil
        contents.restore(backup)
        for (name, row) in stream.writers where row.isMember { contents.endEpoch(of: name, in: Self.stream) }
        for process in contents.row(of: Self.processor)?.processes.keys ?? [:].keys { endProcess(process) }
        durableSequence = stream.sequence
        incarnation += 1
    }

    // MARK: Promotions

    /// The copy catches up with what is durable. False where the database has none.
    mutating func copy() -> Bool {
        guard kind == .sequenceMadeDurableByCommits else { return false }
        standby = contents
        standby?.streams[Self.stream]?.sequence = durableSequence
        return true
    }

    /// The copy takes over: another incarnation begins in it, with the end of all epochs, above all that it has.
    ///
    /// - Returns: the ID above which it begins; nil where there is no copy.
    mutating func promote() -> StreamID? {
        guard let standby else { return nil }
        contents.restore(standby)
        // Far above all that the copy may have missed.
        contents.streams[Self.stream]?.membershipVersion += withoutRule == .versionJump ? 1 : 1 << 40
        contents.beginIncarnation(of: Self.stream, sequence: stream.sequence)
        self.standby = nil
        backup = nil
        durableSequence = stream.sequence
        incarnation += 1
        return durableSequence
    }

    /// Rule 4: whether the writer's epoch may be the one of another life.
    func requireJoin(of writer: Writer, in joined: Incarnation) throws(TidemarkError) {
        guard withoutRule != .incarnationOfJoin, joined != stream.incarnation else { return }
        let row = stream.writers[writer.instance]
        guard let row, row.epoch > writer.epoch || row.epoch == writer.epoch && !row.isMember else {
            throw .acknowledgedEventsLost(
                stream: Self.stream, id: 0, problem: "it knows nothing of this \(writer)")
        }
    }

    // MARK: Crashes

    /// What was not durable is lost. The simulation knows which writers have open transactions.
    mutating func crash() {
        contents.streams[Self.stream]?.sequence = durableSequence
        incarnation += 1
    }
}

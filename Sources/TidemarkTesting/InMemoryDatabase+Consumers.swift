import Tidemark

extension InMemoryDatabase {
    /// What the database has of a consumer.
    public struct ConsumerRow: Hashable, Sendable {
        /// Which claim is the newest; 0 before the first.
        public var generation = 0
        /// The checkpoint.
        public var position: StreamID = 0
        /// What the snapshot of the checkpoint had seen.
        public var snapshot = SnapshotMark(newestCommit: 0)
        /// Of the newest claim.
        public var key: Int64 = 0
        /// What the consumer was given up to the checkpoint; nil where that is not known.
        public var delivered: DeliveredSum? = DeliveredSum()
        /// The last event at or below the position.
        public var passed: Delivered?
        /// Where it began, or was moved to.
        public var start: StreamID = 0
        /// Which events it is given.
        public var filter = EventFilter.all
        /// Whether the process that claimed it last still lives.
        public var isInUse = false
        /// What it was to be given of what was pruned since.
        public var pruned = DeliveredSum()
    }

    /// The same for a consumer that begins at the beginning and is given all events. The key 0 is nobody's.
    public mutating func claim(
        _ consumer: ConsumerName, in name: StreamName, takingOver: Bool = true, key: Int64 = 0
    ) throws(TidemarkError) -> ConsumerClaim {
        var request = ConsumerRequest(stream: name, consumer: consumer, key: key)
        request.takingOver = takingOver
        return try claim(request)
    }

    /// As `claimConsumer(_:)` of an `EventStore`, with the errors of that.
    public mutating func claim(_ request: ConsumerRequest) throws(TidemarkError) -> ConsumerClaim {
        try request.requireValid()
        let (name, consumer, key, takingOver) = (request.stream, request.consumer, request.key, request.takingOver)
        var stream = existing(orNew: name)
        guard stream.processors[consumer] == nil else { throw .isProcessor(stream: name, consumer: consumer) }
        var row: ConsumerRow
        if let found = stream.consumers[consumer] {
            row = found
        } else {
            row = ConsumerRow()
            row.filter = request.filter
            try stream.put(&row, at: request.start, confirmed: request.confirmed, in: name, of: id)
        }
        try request.require(stored: row.filter)
        guard row.position <= stream.sequence else {
            throw .databaseWentBackwards(
                stream: name, id: row.position, problem: "the sequence is at \(stream.sequence)")
        }
        try stream.pruned.require(row.position, in: name)
        if let passed = row.passed { try passed.require(stream.holds(passed), in: name, of: consumer) }
        try stream.requireEra(of: row.snapshot, through: row.position, in: name)
        // Its own: it has been answered already, and the answer was lost.
        if key != 0, row.key == key { return row.claim(name, consumer) }
        if row.isInUse, !takingOver, row.generation != request.replacing {
            throw .consumerInUse(stream: name, consumer: consumer, by: nil)
        }
        row.generation += stream.steps.nextInt()
        row.isInUse = true
        row.key = key
        stream.consumers[consumer] = row
        streams[name] = stream
        return row.claim(name, consumer)
    }

    /// The process that claimed the consumer is gone.
    public mutating func endProcess(ofConsumer consumer: ConsumerName, in name: StreamName) {
        streams[name]?.consumers[consumer]?.isInUse = false
    }

    /// Throws `consumerTaken` unless the claim is the newest.
    public func verify(_ claim: ConsumerClaim) throws(TidemarkError) {
        try claim.require(generation: streams[claim.stream]?.consumers[claim.name]?.generation)
    }

    /// Moves the checkpoint on, as an `EventStore` does, with the errors of that.
    public mutating func checkpoint(
        _ claim: ConsumerClaim, from begin: StreamID? = nil, at position: StreamID, snapshot: SnapshotMark,
        delivered: DeliveredSum? = nil, passed: Delivered? = nil
    ) throws(TidemarkError) {
        guard let stream = streams[claim.stream], position <= stream.sequence else {
            throw .databaseWentBackwards(
                stream: claim.stream, id: position,
                problem: "the sequence is at \(streams[claim.stream]?.sequence ?? 0)")
        }
        if let passed { try passed.require(stream.holds(passed), in: claim.stream, of: claim.name) }
        try stream.requireEra(of: snapshot, through: position, in: claim.stream)
        try verify(claim)
        guard var row = stream.consumers[claim.name] else { return }
        try claim.require(begin: begin, checkpoint: row.position, key: row.key)
        let isFurther = position > row.position
        if isFurther {
            row.delivered = delivered
            row.passed = passed ?? stream.lastEvent(through: position)
        }
        row.position = max(row.position, position)
        if snapshot.incarnationInMemory != row.snapshot.incarnationInMemory
            ? isFurther : snapshot.commitInMemory > row.snapshot.commitInMemory
        {
            row.snapshot = snapshot
        }
        streams[claim.stream]?.consumers[claim.name] = row
    }

    /// Moves a consumer by hand, as an `EventStore` does, and returns where it is then.
    public mutating func move(
        _ consumer: ConsumerName, in name: StreamName, to start: ConsumerStart
    ) throws(TidemarkError) -> StreamID {
        var (stream, row) = try existing(consumer, in: name)
        try stream.put(&row, at: start, confirmed: nil, in: name, of: id)
        row.stopReader(&stream.steps)
        stream.consumers[consumer] = row
        if var processor = stream.processors[consumer] {
            processor.partitions = processor.partitions.map { partition in
                PartitionRow(
                    claim: partition.claim + stream.steps.nextInt(), position: row.position, start: row.position,
                    delivered: DeliveredSum(), passed: row.passed, snapshot: row.snapshot)
            }
            stream.processors[consumer] = processor
        }
        streams[name] = stream
        return row.position
    }

    /// Gives the consumer other events from its checkpoint on, as an `EventStore` does, with the errors of that.
    public mutating func changeFilter(
        of consumer: ConsumerName, in name: StreamName, to filter: EventFilter
    ) throws(TidemarkError) {
        try filter.require(in: name, of: consumer)
        var (stream, row) = try existing(consumer, in: name)
        row.filter = filter
        row.start = row.position
        row.delivered = DeliveredSum()
        row.pruned = DeliveredSum()
        row.stopReader(&stream.steps)
        stream.consumers[consumer] = row
        // A process that runs a processor reads its filter with its next claim.
        for partition in (stream.processors[consumer]?.partitions ?? []).indices {
            let step = stream.steps.nextInt()
            stream.processors[consumer]?.partitions[partition].claim += step
            stream.processors[consumer]?.partitions[partition].owner = nil
            let position = stream.processors[consumer]?.partitions[partition].position ?? 0
            stream.processors[consumer]?.partitions[partition].start = position
            stream.processors[consumer]?.partitions[partition].delivered = DeliveredSum()
            stream.processors[consumer]?.partitions[partition].pruned = DeliveredSum()
        }
        streams[name] = stream
    }

    /// Forgets the consumer, as an `EventStore` does, with the errors of that.
    public mutating func delete(
        _ consumer: ConsumerName, in name: StreamName, takingOver: Bool
    ) throws(TidemarkError) {
        let (stream, _) = try existing(consumer, in: name)
        if stream.isInUse(consumer), !takingOver { throw .consumerInUse(stream: name, consumer: consumer, by: nil) }
        streams[name]?.consumers[consumer] = nil
        streams[name]?.processors[consumer] = nil
    }

    private func existing(
        _ consumer: ConsumerName, in name: StreamName
    ) throws(TidemarkError) -> (Stream, ConsumerRow) {
        guard let stream = streams[name] else { throw .unknownStream(stream: name, store: "memory") }
        guard let row = stream.consumers[consumer] else {
            throw .unknownConsumer(stream: name, consumer: consumer, known: stream.consumers.keys.sorted())
        }
        return (stream, row)
    }
}

extension InMemoryDatabase.ConsumerRow {
    fileprivate func claim(_ stream: StreamName, _ name: ConsumerName) -> ConsumerClaim {
        ConsumerClaim(
            stream: stream, name: name, generation: generation, position: position, delivered: delivered,
            passed: passed,
            key: key, filter: filter)
    }

    /// Stops the reader that has its name.
    mutating func stopReader(_ steps: inout RandomSteps) {
        generation += steps.nextInt()
        key = 0
        isInUse = false
    }
}

extension InMemoryDatabase.Stream {
    /// Puts a consumer at a place, no higher than everything is finished.
    fileprivate func put(
        _ row: inout InMemoryDatabase.ConsumerRow, at start: ConsumerStart, confirmed: Watermark?, in name: StreamName,
        of database: DatabaseID
    ) throws(TidemarkError) {
        var highest = minimumPersisted
        if let confirmed, confirmed.membershipVersion == membershipVersion {
            highest = max(highest, min(confirmed.minimum, sequence))
        }
        let first = start.milliseconds.flatMap { time in events.first { $0.persistedAtMilliseconds >= time } }
        row.position = try start.position(first: first?.streamID, highest: highest, in: name, of: database)
        try pruned.require(start, at: row.position, in: name)
        row.start = row.position
        row.pruned = DeliveredSum()
        if case .afterPlace(let place) = start, let era = place.era {
            try requireEra(era, through: place.id, in: name)
        }
        row.snapshot = mark
        row.delivered = DeliveredSum()
        row.passed = lastEvent(through: row.position)
        try start.require(last: row.passed, in: name)
    }
}

extension InMemoryDatabase.Stream {
    /// Whether the event is there, with the mark of its commit, or was pruned.
    func holds(_ delivered: Delivered) -> Bool {
        guard case .event(let event) = rows[delivered.streamID] else {
            return rows[delivered.streamID] == nil && pruned.mayHaveHeld(delivered)
        }
        return event.mark == delivered.mark
            && (delivered.eventID.map { event.event.id.utf8.elementsEqual($0.utf8) } ?? true)
    }

    /// What a snapshot that is taken now has seen: the newest commit, and after the first incarnation the one that runs.
    var mark: SnapshotMark {
        let mark = SnapshotMark(newestCommit: commitNumber)
        if incarnation == .firstInMemory { return mark }
        return SnapshotMark(bytes: mark.bytes + SnapshotMark(newestCommit: incarnation.rawValue).bytes)
    }

    /// No ID that was passed up to a place is handed out again.
    ///
    /// - Throws: ``TidemarkError/acknowledgedEventsLost(stream:id:problem:)``.
    func requireEra(of mark: SnapshotMark, through position: StreamID, in name: StreamName) throws(TidemarkError) {
        try requireEra(mark.incarnationInMemory, through: position, in: name)
    }

    fileprivate func requireEra(
        _ seen: Incarnation, through position: StreamID, in name: StreamName
    ) throws(TidemarkError) {
        guard !ignoresEras, let problem = Era.loss(through: position, seen: Era(seen, after: 0), in: eras) else {
            return
        }
        throw .acknowledgedEventsLost(stream: name, id: position, problem: problem)
    }

    func lastEvent(through position: StreamID) -> Delivered? {
        let last = events.last { $0.streamID <= position }.map {
            Delivered(streamID: $0.streamID, mark: $0.mark, eventID: $0.event.id)
        }
        return last ?? pruned.last.flatMap { $0.streamID <= position ? $0 : nil }
    }

    /// What can be said from the durable positions and the rows alone.
    var minimumPersisted: StreamID {
        var finished = FinishedRanges()
        for id in rows.keys { finished.insert(id...id) }
        if pruned.through > 0 { finished.insert(1...pruned.through) }
        let least = writers.values.filter(\.isMember).map(\.position).min()
        return least.map(finished.endOfRun(after:)) ?? newestRow
    }

    mutating func raiseMembershipVersion() {
        let step = steps.nextInt()
        membershipVersion += countsVersions ? 1 : step
    }
}

extension Incarnation {
    /// In which every stream in memory begins; a mark without an incarnation is of it.
    static let firstInMemory = Incarnation(1)
}

extension SnapshotMark {
    /// The newest commit of a mark of a store in memory.
    var commitInMemory: Int64 { SnapshotMark(bytes: Array(bytes.prefix(8))).newestCommit ?? 0 }
    /// The incarnation of such a mark.
    var incarnationInMemory: Incarnation {
        guard bytes.count == 16, let number = SnapshotMark(bytes: Array(bytes.suffix(8))).newestCommit else {
            return .firstInMemory
        }
        return Incarnation(number)
    }
}

/// By how much the numbers of a database grow: otherwise in each of its lives.
struct RandomSteps: Sendable {
    private var generator: SplitMix64

    init(seed: UInt64) { generator = SplitMix64(seed: seed) }

    /// 1 to 2^20.
    mutating func nextInt() -> Int { Int(generator.next() >> 44) + 1 }

    /// A count of commits, and below it 20 random bits.
    mutating func nextCommit(after number: Int64) -> Int64 {
        ((number >> 20) + 1) << 20 | Int64(generator.next() >> 44)
    }

    /// How many commits there were up to this one.
    static func place(ofCommit number: Int64) -> Int64 { number >> 20 }
}

extension InMemoryDatabase.Stream {
    /// A process that lives reads under the name, or runs the processor.
    func isInUse(_ consumer: ConsumerName) -> Bool {
        consumers[consumer]?.isInUse == true
            || processors[consumer]?.processes.values.contains { !$0.isGone } == true
    }
}

import Tidemark

extension InMemoryDatabase {
    /// What the database has of a partition.
    public struct PartitionRow: Hashable, Sendable {
        /// Which claim is the newest.
        public var claim: Int
        /// Who has it; nil where nobody does.
        public var owner: ProcessorProcess?
        /// Everything of the partition at or below it is done.
        public var position: StreamID
        /// Where it was when it was made, or moved.
        public var start: StreamID
        /// What was passed up to there; nil where that is not known.
        public var delivered: DeliveredSum?
        /// The last event at or below the position.
        public var passed: Delivered?
        /// How often events that are not passed were started.
        public var attempts: [StreamID: Int] = [:]
        /// As of a consumer.
        public var pruned = DeliveredSum()
        /// What the snapshot of the checkpoint had seen.
        public var snapshot = SnapshotMark(newestCommit: 0)
    }

    /// What the database has of a process that runs a processor.
    public struct ProcessRow: Hashable, Sendable {
        /// How many signs of life it gave.
        public var heartbeat: Int64 = 0
        /// What the operating system would say.
        public var isGone = false
        /// The oldest handlers of its last heartbeat, by their partitions.
        public var oldest: [Int: OldestHandler] = [:]
    }

    /// What the database has of a processor, beside its consumer.
    public struct ProcessorRow: Sendable {
        /// The partitions by their numbers.
        public var partitions: [PartitionRow] = []
        /// The processes that run it.
        public var processes: [ProcessorProcess: ProcessRow] = [:]
        /// What was put aside, by its place in the stream.
        public var parked: [StreamID: ParkedEvent] = [:]
    }

    /// As `openProcessor` of a `ProcessorStore`, with the errors of that.
    public mutating func openProcessor(
        _ processor: ProcessorName, filter: EventFilter, partitions: Int
    ) throws(TidemarkError) {
        _ = try found(processor)
        guard var stream = streams[processor.stream], var consumer = stream.consumers[processor.consumer] else {
            return
        }
        guard consumer.filter == filter else {
            throw .filterDiffers(stream: processor.stream, consumer: processor.consumer, stored: consumer.filter)
        }
        if let row = stream.processors[processor.consumer] {
            guard row.partitions.count == partitions else {
                throw .partitionsDiffer(
                    stream: processor.stream, consumer: processor.consumer,
                    found: "\(row.partitions.count) partitions by \(PartitionHash.name)",
                    asked: "\(partitions) by \(PartitionHash.name)")
            }
            return
        }
        consumer.stopReader(&stream.steps)
        stream.consumers[processor.consumer] = consumer
        var row = ProcessorRow()
        for _ in 0..<partitions {
            row.partitions.append(
                PartitionRow(
                    claim: stream.steps.nextInt(), position: consumer.position, start: consumer.position,
                    delivered: DeliveredSum(), passed: stream.lastEvent(through: consumer.position),
                    snapshot: stream.mark))
        }
        stream.processors[processor.consumer] = row
        streams[processor.stream] = stream
    }

    /// A process that runs a processor is gone, as the operating system tells everyone.
    public mutating func endProcess(_ process: ProcessorProcess, of processor: ProcessorName) {
        streams[processor.stream]?.processors[processor.consumer]?.processes[process]?.isGone = true
    }

    private func found(_ processor: ProcessorName) throws(TidemarkError) -> ProcessorRow {
        guard let stream = streams[processor.stream] else {
            throw .unknownStream(stream: processor.stream, store: "memory")
        }
        guard let row = stream.processors[processor.consumer] else {
            guard stream.consumers[processor.consumer] != nil else {
                throw .unknownConsumer(
                    stream: processor.stream, consumer: processor.consumer, known: stream.consumers.keys.sorted())
            }
            return ProcessorRow()
        }
        return row
    }

    private mutating func change<Value>(
        _ processor: ProcessorName, _ body: (inout ProcessorRow) throws(TidemarkError) -> Value
    ) throws(TidemarkError) -> Value {
        var row = try found(processor)
        let value = try body(&row)
        streams[processor.stream]?.processors[processor.consumer] = row
        return value
    }

    /// As `beat` of a `ProcessorStore`, with the errors of that.
    public mutating func beat(_ beat: ProcessorBeat, of processor: ProcessorName) throws(TidemarkError) -> ProcessorLook
    {
        guard streams[processor.stream]?.processors[processor.consumer] != nil else {
            throw .unknownConsumer(
                stream: processor.stream, consumer: processor.consumer,
                known: streams[processor.stream]?.consumers.keys.sorted() ?? [])
        }
        return try change(processor) { row in
            row.processes[beat.process, default: ProcessRow()].heartbeat += 1
            row.processes[beat.process]?.oldest = Dictionary(beat.oldest.map { ($0.partition, $0) }) { $1 }
            for gone in beat.forgetting where row.processes[gone.process]?.heartbeat == gone.heartbeat {
                if !row.partitions.contains(where: { $0.owner == gone.process }) { row.processes[gone.process] = nil }
            }
            return ProcessorLook(
                processes: row.processes.sorted { $0.key.rawValue < $1.key.rawValue }.map {
                    ProcessSighting(process: $0.key, heartbeat: $0.value.heartbeat, isGone: $0.value.isGone)
                },
                partitions: row.partitions.enumerated().map { number, partition in
                    PartitionSighting(
                        partition: number, owner: partition.owner, claim: partition.claim,
                        retries: row.parked.values.count { $0.partition == number && $0.isToBeRetried },
                        position: partition.position)
                })
        }
    }

    /// As `claimPartitions` of a `ProcessorStore`, with the errors of that.
    public mutating func claimPartitions(
        _ observed: [PartitionObservation], of processor: ProcessorName, by process: ProcessorProcess
    ) throws(TidemarkError) -> [ProcessorMachine.Claimed] {
        var row = try found(processor)
        guard var stream = streams[processor.stream] else { return [] }
        var claims: [ProcessorMachine.Claimed] = []
        for observed in observed where row.mayClaim(observed, by: process) {
            let before = row.partitions[observed.partition]
            guard before.position <= stream.sequence else {
                throw .databaseWentBackwards(
                    stream: processor.stream, id: before.position, problem: "the sequence is at \(stream.sequence)")
            }
            try stream.pruned.require(before.position, in: processor.stream)
            if let passed = before.passed {
                try passed.require(stream.holds(passed), in: processor.stream, of: processor.consumer)
            }
            try stream.requireEra(of: before.snapshot, through: before.position, in: processor.stream)
            row.partitions[observed.partition].claim += stream.steps.nextInt()
            row.partitions[observed.partition].owner = process
            let parked = row.parked.values.filter { $0.partition == observed.partition }
            let keyed = parked.compactMap { parked in parked.event?.event.key.map { ($0, parked.streamID) } }
            claims.append(
                ProcessorMachine.Claimed(
                    partition: observed.partition, claim: row.partitions[observed.partition].claim,
                    position: before.position, delivered: before.delivered, passed: before.passed,
                    uncleanThrough: before.owner != nil && before.owner != process ? stream.sequence : nil,
                    attempts: before.attempts,
                    held: Dictionary(grouping: keyed) { Array($0.0.utf8) }.mapValues { $0.map(\.1).sorted() }))
        }
        stream.processors[processor.consumer] = row
        streams[processor.stream] = stream
        return claims
    }

    /// As `checkpoint` of a `ProcessorStore`, with the errors of that.
    public mutating func checkpoint(
        _ checkpoints: [ProcessorMachine.Checkpoint], of processor: ProcessorName
    ) throws(TidemarkError) -> [Bool] {
        guard let stream = streams[processor.stream] else {
            throw .unknownStream(stream: processor.stream, store: "memory")
        }
        return try change(processor) { row throws(TidemarkError) in
            var answers: [Bool] = []
            for checkpoint in checkpoints {
                guard row.owns(checkpoint.partition, checkpoint.claim),
                    checkpoint.passage.map({ $0.begin <= row.partitions[checkpoint.partition].position }) ?? true
                else {
                    answers.append(false)
                    continue
                }
                if let passage = checkpoint.passage {
                    try row.pass(passage, checkpoint.partition, in: stream, processor)
                }
                if checkpoint.releases { row.partitions[checkpoint.partition].owner = nil }
                answers.append(true)
            }
            return answers
        }
    }

    /// The consumer is where the least of its partitions is.
    mutating func moveConsumer(of processor: ProcessorName) {
        guard let least = streams[processor.stream]?.processors[processor.consumer]?.partitions.map(\.position).min()
        else { return }
        streams[processor.stream]?.consumers[processor.consumer]?.position = least
        streams[processor.stream]?.consumers[processor.consumer]?.delivered = nil
        streams[processor.stream]?.consumers[processor.consumer]?.passed = nil
    }

    /// As `countStarts` of a `ProcessorStore`, with the errors of that.
    public mutating func countStarts(
        _ counts: [ProcessorMachine.Count], of processor: ProcessorName
    ) throws(TidemarkError) -> [[StreamID: Int]?] {
        try change(processor) { row in
            counts.map { count in
                guard row.owns(count.partition, count.claim) else { return nil }
                var started: [StreamID: Int] = [:]
                for id in count.ids {
                    row.partitions[count.partition].attempts[id, default: 0] += 1
                    started[id] = row.partitions[count.partition].attempts[id]
                }
                return started
            }
        }
    }

    /// As `leaveProcessor` of a `ProcessorStore`, with the errors of that.
    public mutating func leaveProcessor(
        _ processor: ProcessorName, process: ProcessorProcess
    ) throws(TidemarkError) {
        try change(processor) { $0.processes[process] = nil }
    }

    /// As `takeRetries` of a `ProcessorStore`, with the errors of that.
    public mutating func takeRetries(
        partition: Int, claim: Int, of processor: ProcessorName, limit: Int
    ) throws(TidemarkError) -> [ParkedEvent] {
        try change(processor) { row in
            guard row.owns(partition, claim) else { return [] }
            let parked = row.parked.values.filter { $0.partition == partition && $0.isToBeRetried }
                .sorted { $0.streamID < $1.streamID }.prefix(limit)
            for event in parked { row.parked[event.streamID] = event.marked(false) }
            return Array(parked)
        }
    }

    /// As `endRetries` of a `ProcessorStore`, with the errors of that.
    public mutating func endRetries(
        _ endings: [ProcessorMachine.LateEnding], of processor: ProcessorName
    ) throws(TidemarkError) {
        try change(processor) { row in
            for ending in endings where row.owns(ending.partition, ending.claim) {
                if let note = ending.note {
                    row.parked[ending.id] = row.parked[ending.id]?.failedAgain(note)
                } else {
                    row.remove(ending.id)
                }
            }
        }
    }

    /// As `parkedIDs` of a `ProcessorStore`, with the errors of that.
    public func parkedIDs(partition: Int, of processor: ProcessorName) throws(TidemarkError) -> [StreamID] {
        try found(processor).parked.values.filter { $0.partition == partition }.map(\.streamID).sorted()
    }

    /// As `parkedEvents` of a `ProcessorStore`, with the errors of that.
    public func parkedEvents(
        of processor: ProcessorName, after id: StreamID, limit: Int
    ) throws(TidemarkError) -> [ParkedEvent] {
        let parked = try found(processor).parked.values.filter { $0.streamID > id }
        return Array(parked.sorted { $0.streamID < $1.streamID }.prefix(max(0, limit)))
    }

    /// As `retryParked` of a `ProcessorStore`, with the errors of that.
    public mutating func retryParked(_ ids: [StreamID]?, of processor: ProcessorName) throws(TidemarkError) -> Int {
        try change(processor) { row throws(TidemarkError) in
            let chosen = try row.requireParked(ids, of: processor)
            for id in chosen { row.parked[id] = row.parked[id]?.marked(true) }
            return chosen.count
        }
    }

    /// As `dropParked` of a `ProcessorStore`, with the errors of that.
    public mutating func dropParked(_ ids: [StreamID]?, of processor: ProcessorName) throws(TidemarkError) -> Int {
        try change(processor) { row throws(TidemarkError) in
            let chosen = try row.requireParked(ids, of: processor)
            for id in chosen { if ids == nil { row.parked[id] = nil } else { row.remove(id) } }
            return chosen.count
        }
    }
}

extension InMemoryDatabase.ProcessorRow {
    fileprivate func owns(_ partition: Int, _ claim: Int) -> Bool {
        partitions.indices.contains(partition) && partitions[partition].claim == claim
            && partitions[partition].owner != nil
    }

    fileprivate func mayClaim(_ observed: PartitionObservation, by process: ProcessorProcess) -> Bool {
        guard partitions.indices.contains(observed.partition), partitions[observed.partition].claim == observed.claim,
            partitions[observed.partition].owner == observed.owner
        else { return false }
        guard let owner = observed.owner, owner != process, let row = processes[owner] else { return true }
        return observed.heartbeat.map { $0 == row.heartbeat } ?? row.isGone
    }

    fileprivate mutating func pass(
        _ passage: Passage, _ partition: Int, in stream: InMemoryDatabase.Stream, _ processor: ProcessorName
    ) throws(TidemarkError) {
        guard passage.position <= stream.sequence else {
            throw .databaseWentBackwards(
                stream: processor.stream, id: passage.position, problem: "the sequence is at \(stream.sequence)")
        }
        if let passed = passage.passed {
            try passed.require(stream.holds(passed), in: processor.stream, of: processor.consumer)
        }
        if let snapshot = passage.snapshot {
            try stream.requireEra(of: snapshot, through: passage.position, in: processor.stream)
        }
        // Nothing that was pruned is left to be parked.
        for note in passage.parked { try stream.pruned.require(event: note.id, in: processor.stream) }
        // What a handler's transaction has passed meanwhile was handled.
        for note in passage.parked where note.id > partitions[partition].position {
            guard case .event(let event) = stream.rows[note.id] else { continue }
            parked[note.id] = ParkedEvent(
                event: event, partition: partition, reason: note.reason, attempts: note.attempts,
                problem: note.problem, parkedAtMilliseconds: 0, isToBeRetried: false)
        }
        guard passage.position > partitions[partition].position else { return }
        partitions[partition].position = passage.position
        partitions[partition].delivered = passage.delivered
        if let snapshot = passage.snapshot { partitions[partition].snapshot = snapshot }
        partitions[partition].passed = passage.passed
        partitions[partition].attempts = partitions[partition].attempts.filter { $0.key > passage.position }
    }

    fileprivate func requireParked(
        _ ids: [StreamID]?, of processor: ProcessorName
    ) throws(TidemarkError) -> [StreamID] {
        guard let ids else { return parked.keys.sorted() }
        let missing = ids.filter { parked[$0] == nil }
        guard missing.isEmpty else {
            throw .notParked(stream: processor.stream, consumer: processor.consumer, ids: missing)
        }
        return ids
    }

    /// What was parked behind it is to be tried next.
    fileprivate mutating func remove(_ id: StreamID) {
        guard let removed = parked.removeValue(forKey: id), let key = removed.event?.event.key else { return }
        let next = parked.values.filter {
            $0.reason == .behind && $0.streamID > id && $0.event?.event.key?.utf8.elementsEqual(key.utf8) == true
        }.map(\.streamID).min()
        if let next { parked[next] = parked[next]?.marked(true) }
    }
}

extension ParkedEvent {
    fileprivate func marked(_ isToBeRetried: Bool) -> ParkedEvent? {
        event.map {
            ParkedEvent(
                event: $0, partition: partition, reason: reason, attempts: attempts, problem: problem,
                parkedAtMilliseconds: parkedAtMilliseconds, isToBeRetried: isToBeRetried)
        }
    }

    fileprivate func failedAgain(_ note: ParkingNote) -> ParkedEvent? {
        event.map {
            ParkedEvent(
                event: $0, partition: partition, reason: note.reason, attempts: attempts + note.attempts,
                problem: note.problem, parkedAtMilliseconds: parkedAtMilliseconds, isToBeRetried: isToBeRetried)
        }
    }
}

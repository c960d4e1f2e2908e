import Tidemark

extension InMemoryDatabase {
    /// As `end(of:in:)` of a `PrunableStore`, with the errors of that.
    public func end(of extent: PruneExtent, in name: StreamName) throws(TidemarkError) -> StreamID {
        guard let stream = streams[name] else { throw .unknownStream(stream: name, store: "memory") }
        switch extent {
        case .through(let id): return id
        case .before(let date):
            let time = ConsumerStart.at(date).milliseconds ?? 0
            let first = stream.events.first { $0.persistedAtMilliseconds >= time }
            return first.map { StreamID($0.streamID.rawValue - 1) } ?? stream.newestEvent
        case .keeping(let count): return stream.events.dropLast(max(count, 0)).last?.streamID ?? 0
        }
    }

    /// As `prune(_:)` of a `PrunableStore`, with the errors of that.
    ///
    /// - Parameter ignoresPositions: whether what may still be committed, or is still to be read, is removed too. It never is,
    ///   but where a simulation takes that rule away.
    public mutating func prune(
        _ request: PruneRequest, ignoringPositions ignoresPositions: Bool = false
    ) throws(TidemarkError) -> PruneStep {
        let name = request.stream
        guard var stream = streams[name] else { throw .unknownStream(stream: name, store: "memory") }
        for consumer in request.ignoring where stream.consumers[consumer] == nil {
            throw .unknownConsumer(stream: name, consumer: consumer, known: stream.consumers.keys.sorted())
        }
        if request.through > stream.pruned.through, !ignoresPositions {
            let lowest = stream.lowestPlace(ignoring: request.ignoring)
            if request.through > lowest.place {
                throw .pruneHeldBack(stream: name, id: request.through, by: lowest.holder, at: lowest.place)
            }
        }
        let before = stream.pruned
        let start = request.forgetsIDs ? before.forgottenThrough : before.through
        guard request.through > start else { return PruneStep(events: 0, through: before.through, isDone: true) }
        let known = Set(stream.rows.keys).union(stream.prunedWriters.keys)
        let found = known.filter { $0 > start && $0 <= request.through }.sorted().prefix(request.limit)
        let isDone = found.count < request.limit
        let end = isDone ? request.through : found.last ?? request.through
        for id in found { stream.remove(id) }
        stream.pruned.through = max(before.through, end)
        if request.forgetsIDs {
            stream.pruned.forgottenThrough = end
            stream.ids = stream.ids.filter { $0.value > end }
            stream.prunedWriters = stream.prunedWriters.filter { $0.key > end }
        }
        let last = stream.pruned.last?.streamID ?? 0
        for (consumer, row) in stream.consumers where request.ignoring.contains(consumer) && row.position < last {
            stream.consumers[consumer]?.stopReader(&stream.steps)
            for partition in (stream.processors[consumer]?.partitions ?? []).indices {
                let step = stream.steps.nextInt()
                stream.processors[consumer]?.partitions[partition].claim += step
                stream.processors[consumer]?.partitions[partition].owner = nil
            }
        }
        streams[name] = stream
        return PruneStep(
            events: Int(stream.pruned.events.count - before.events.count), through: stream.pruned.through,
            isDone: isDone)
    }
}

extension InMemoryDatabase.Stream {
    /// Who is at the lowest place, and where that is.
    fileprivate func lowestPlace(ignoring: Set<ConsumerName>) -> (holder: PruneHolder, place: StreamID) {
        let members = membership.members
        var lowest: (holder: PruneHolder, place: StreamID) = (.end, members.isEmpty ? newestRow : sequence)
        // In an order, so that the same state names the same one.
        for (writer, position) in members.sorted(by: { $0.key.instance < $1.key.instance })
        where position < lowest.place {
            lowest = (.writer(writer), position)
        }
        for (name, row) in consumers.sorted(by: { $0.key < $1.key }) where !ignoring.contains(name) {
            let place = processors[name]?.partitions.map(\.position).min() ?? row.position
            if place < lowest.place { lowest = (.consumer(name), place) }
        }
        return lowest
    }

    /// An event that was pruned before has only its id left to go.
    fileprivate mutating func remove(_ id: StreamID) {
        guard let row = rows.removeValue(forKey: id) else { return }
        switch row {
        case .tombstone(let mark): pruned.newestCommit = max(pruned.newestCommit, mark)
        case .event(let event):
            pruned.newestCommit = max(pruned.newestCommit, event.mark)
            pruned.add(Delivered(streamID: id, mark: event.mark), milliseconds: event.persistedAtMilliseconds)
            prunedWriters[id] = event.instance
            if let key = event.event.key.map({ Array($0.utf8) }) {
                prunedKeys[key] = id
                keys[key]?.removeAll { $0 <= id }
            }
            for name in consumers.keys { count(event, for: name) }
        }
    }

    private mutating func count(_ event: PersistedEvent, for name: ConsumerName) {
        guard let row = consumers[name], row.filter.passes(type: event.event.type, key: event.event.key) else { return }
        if let partitions = processors[name]?.partitions {
            let number = PartitionHash.partition(
                ofKey: event.event.key, id: event.streamID, of: partitions.count)
            guard event.streamID > partitions[number].start, event.streamID <= partitions[number].position else {
                return
            }
            processors[name]?.partitions[number].pruned.add(event.streamID, mark: event.mark)
        } else if event.streamID > row.start, event.streamID <= row.position {
            consumers[name]?.pruned.add(event.streamID, mark: event.mark)
        }
    }
}

private func max(_ one: CommitMark, _ other: CommitMark) -> CommitMark {
    one.rawValue < other.rawValue ? other : one
}

extension InMemoryEventStore: PrunableStore {
    public func end(of extent: PruneExtent, in stream: StreamName) async throws -> StreamID {
        try await run(.pruned) { try $0.end(of: extent, in: stream) }
    }

    public func prune(_ request: PruneRequest) async throws -> PruneStep {
        try await run(.prune) { try $0.prune(request) }
    }

    public func pruned(of stream: StreamName) async throws -> PrunedPrefix? {
        try await run(.pruned) { $0.streams[stream]?.pruned }
    }
}

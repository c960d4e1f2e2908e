import Tidemark

extension InMemoryDatabase {
    /// What a reader sees now; nil where the stream does not exist. Throws where what it asks for was pruned.
    public func snapshot(of name: StreamName, _ request: SnapshotRequest) throws(TidemarkError) -> Snapshot? {
        guard let stream = streams[name] else { return nil }
        if stream.membershipVersion == request.membershipVersion { try stream.pruned.require(request.after, in: name) }
        let isThere = request.delivered.map(stream.holds)
        let generation = request.claim.flatMap { stream.consumers[$0.consumer]?.generation }
        var events: [PersistedEvent] = []
        var isTruncated = false
        var passed: Delivered?
        if stream.membershipVersion == request.membershipVersion, isThere ?? true,
            generation == request.claim?.generation
        {
            let reached =
                stream.membership.members.isEmpty ? max(request.through, stream.newestEvent) : request.through
            let end = min(reached, request.furthest)
            let wanted = stream.events.filter {
                $0.streamID > request.after && $0.streamID <= end
                    && request.filter.passes(type: $0.event.type, key: $0.event.key)
            }
            if request.filter != .all, let last = stream.lastEvent(through: end), last.streamID > request.after {
                passed = last
            }
            var bytes = 0
            for event in wanted {
                if events.count == request.limit || (bytes > request.byteLimit) {
                    isTruncated = true
                    break
                }
                bytes += event.event.payload.count
                events.append(event)
            }
        }
        return Snapshot(
            membership: stream.membership, newestEvent: stream.newestEvent, sequence: stream.sequence,
            mark: stream.mark, deliveredIsThere: isThere ?? true,
            consumerGeneration: generation,
            events: events, isTruncated: isTruncated, database: id, passed: isTruncated ? nil : passed)
    }

    /// What is there above `minimum`, of at most `limit` IDs; nil where the stream does not exist.
    public func reconciliation(of name: StreamName, above minimum: StreamID, limit: Int) -> Reconciliation? {
        guard let stream = streams[name] else { return nil }
        var finished = FinishedRanges()
        for id in stream.rows.keys.sorted().filter({ $0 > minimum }).prefix(limit) { finished.insert(id...id) }
        if minimum < stream.pruned.through, limit > 0 {
            finished.insert(StreamID(minimum.rawValue + 1)...stream.pruned.through)
        }
        return Reconciliation(
            membership: stream.membership, sequence: stream.sequence, newestCommitted: stream.newestRow,
            finished: finished.ranges, observations: stream.observations,
            newest: stream.events.last.map {
                Delivered(streamID: $0.streamID, mark: $0.mark, eventID: $0.event.id)
            } ?? stream.pruned.last)
    }

    /// The event with this id; nil where there is none. Throws where it was pruned.
    public func event(withID id: String, in name: StreamName) throws(TidemarkError) -> PersistedEvent? {
        guard let stream = streams[name], let streamID = stream.ids[Array(id.utf8)] else { return nil }
        try stream.pruned.require(event: streamID, in: name)
        guard case .event(let event) = stream.rows[streamID] else { return nil }
        return event
    }

    /// What `status` shows; nil where the stream does not exist. Ages are 0: the database has no clock.
    public func status(of name: StreamName, includingLeft: Bool = false) -> StreamStatus? {
        guard let stream = streams[name] else { return nil }
        return StreamStatus(
            stream: name, sequence: stream.sequence, newestEvent: stream.newestEvent,
            minimumPersisted: stream.minimumPersisted,
            writers: stream.writers.filter { includingLeft || $0.value.isMember }.sorted { $0.key < $1.key }.map {
                name, row in
                StreamStatus.WriterStatus(
                    writer: Writer(name, epoch: row.epoch), isMember: row.isMember, position: row.position,
                    isClosed: row.isClosed, inFlight: row.inFlight, lowestInFlight: row.lowestInFlight,
                    inFlightMilliseconds: row.lowestInFlight == nil ? nil : row.inFlightMilliseconds,
                    heartbeatAgeMilliseconds: 0, processID: nil)
            },
            consumers: stream.consumers.sorted { $0.key < $1.key }.map { name, row in
                let processor = stream.processors[name] ?? ProcessorRow()
                return .init(
                    name: name, position: row.position, isInUse: stream.isInUse(name), start: row.start,
                    filter: row.filter,
                    parked: min(processor.parked.count, StreamStatus.ConsumerStatus.mostParked),
                    partitions: processor.partitions.enumerated().map { number, partition in
                        let oldest = partition.owner.flatMap { processor.processes[$0]?.oldest[number] }
                        return .init(
                            partition: number, position: partition.position, owner: partition.owner,
                            oldestHandler: oldest?.id, handlerMilliseconds: oldest?.milliseconds)
                    })
            },
            leftCount: stream.writers.values.count { !$0.isMember }, keyIndex: stream.keyIndex,
            prunedThrough: stream.pruned.through)
    }
}

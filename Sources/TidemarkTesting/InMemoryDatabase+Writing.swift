import Tidemark

extension InMemoryDatabase {
    /// Rule 4: only the newest epoch of a member may write.
    private func checked(_ writer: Writer, in name: StreamName) throws(TidemarkError) -> (Stream, WriterRow) {
        switch try standing(of: writer, in: name) {
        case .member(let stream, let row): return (stream, row)
        case .retired: throw .retired(stream: name, writer: writer)
        case .taken(let holder): throw .instanceTaken(stream: name, writer: writer, by: holder)
        }
    }

    /// Hands out the next IDs. Throws where the writer's epoch is over, or nobody knows the name.
    public mutating func allocate(
        _ count: Int, in name: StreamName, for writer: Writer
    ) throws(TidemarkError) -> [StreamID] {
        let (stream, _) = try checked(writer, in: name)
        let first = stream.sequence.rawValue + 1
        streams[name]?.sequence = StreamID(stream.sequence.rawValue + Int64(count))
        return (first..<first + Int64(count)).map(StreamID.init(_:))
    }

    /// - Parameter incarnation: which one handed the IDs out; nil for that of now.
    public mutating func abandon(
        _ ids: [StreamID], allocatedIn incarnation: Incarnation? = nil, in name: StreamName
    ) throws(TidemarkError) -> AbandonedIDs {
        guard var stream = streams[name] else {
            throw .databaseWentBackwards(stream: name, id: ids.max() ?? 0, problem: "it knows nothing of the stream")
        }
        if let incarnation, incarnation != stream.incarnation {
            return AbandonedIDs(
                committed: ids.filter { if case .event = stream.rows[$0] { true } else { false } },
                void: ids.filter { stream.rows[$0] == nil })
        }
        var (committed, pruned): ([StreamID], [StreamID]) = ([], [])
        let next = stream.steps.nextCommit(after: stream.commitNumber)
        var hasTombstones = false
        for id in ids {
            guard id <= stream.sequence else {
                throw .databaseWentBackwards(stream: name, id: id, problem: "the sequence is at \(stream.sequence)")
            }
            switch stream.rows[id] {
            case .event: committed.append(id)
            case .tombstone: break
            case nil where id <= stream.pruned.through:
                if stream.prunedWriters[id] != nil { committed.append(id) } else { pruned.append(id) }
            case nil:
                stream.rows[id] = .tombstone(CommitMark(next))
                hasTombstones = true
            }
        }
        if hasTombstones { stream.commitNumber = next }
        streams[name] = stream
        return AbandonedIDs(committed: committed, pruned: pruned)
    }

    /// Allocates and persists as one transaction, with the errors of an `EventStore`. A fence of nil is taken as the
    /// newest.
    public mutating func persist(
        _ events: [Event], in name: StreamName, by writer: Writer, known: StreamID = 0, fence: Int64? = nil,
        at time: Int64 = 0
    ) throws(TidemarkError) -> [PersistOutcome] {
        let group = EventGroup(
            events, in: name, by: writer, known: known,
            fence: fence ?? streams[name]?.writers[writer.instance]?.fence ?? 0)
        return try persist(group, at: time).outcomes
    }

    /// Allocates and persists as one transaction, the calls one after the other, with the errors of an `EventStore`.
    public mutating func persist(_ group: EventGroup, at time: Int64 = 0) throws(TidemarkError) -> PersistedGroup {
        let name = group.stream
        var (stream, row) = try checked(group.writer, in: name)
        if group.fence < row.fence { throw .fenced(stream: name, writer: group.writer, fence: row.fence) }
        guard stream.sequence >= group.known else {
            throw .databaseWentBackwards(
                stream: name, id: group.known, problem: "the sequence is at \(stream.sequence)")
        }
        stream.commitNumber = stream.steps.nextCommit(after: stream.commitNumber)
        var outcomes: [PersistOutcome] = []
        var refusals: [Int: CallRefusal] = [:]
        var rest = group.events[...]
        for (number, call) in group.calls.enumerated() {
            let events = rest.prefix(call.events)
            rest = rest.dropFirst(call.events)
            if let condition = call.condition, case .refuse(let error) = stream.judge(condition, events, in: name) {
                refusals[number] = .failed(error)
                continue
            }
            for event in events {
                if let id = stream.ids[Array(event.id.utf8)] {
                    outcomes.append(.alreadyPersisted(id))
                    continue
                }
                let id = StreamID(stream.sequence.rawValue + 1)
                precondition(id > row.position, "a durable position above the sequence")
                stream.sequence = id
                stream.insert(event, at: id, by: group.writer, time: time)
                outcomes.append(.persisted(id))
            }
        }
        // A commit without rows is none.
        if outcomes.contains(where: \.isNew) { streams[name] = stream }
        return PersistedGroup(outcomes: outcomes, refusals: refusals)
    }

    /// What became of groups of one writer: those that are not there are fenced off.
    public mutating func settle(_ groups: [EventGroup]) throws(TidemarkError) -> Settlement {
        guard let first = groups.first else { return Settlement(fence: 0, groups: []) }
        guard var stream = streams[first.stream], var row = stream.writers[first.writer.instance] else {
            throw .unknownInstance(stream: first.stream, instance: first.writer.instance)
        }
        if row.epoch == first.writer.epoch, row.isMember {
            row.fence = max(row.fence, groups.map(\.fence).max() ?? 0) + 1
            stream.writers[first.writer.instance] = row
            streams[first.stream] = stream
        }
        var outcomes: [PersistedGroup?] = []
        for group in groups {
            let outcome = stream.outcome(of: group)
            if outcome == nil { try stream.pruned.requireKnown(group) }
            outcomes.append(outcome)
        }
        return Settlement(fence: row.fence, groups: outcomes)
    }

    /// Persists an event under an ID that was allocated before, with the errors of an `EventStore`.
    public mutating func persist(
        _ event: Event, as id: StreamID, in name: StreamName, by writer: Writer, at time: Int64 = 0
    ) throws(TidemarkError) -> PersistOutcome {
        try persistOrPass(event, as: id, in: name, by: writer, at: time).get()
    }

    /// The same, where an ID that its event's key has passed gets a tombstone: the database has changed though it failed.
    mutating func persistOrPass(
        _ event: Event, as id: StreamID, in name: StreamName, by writer: Writer, at time: Int64
    ) throws(TidemarkError) -> Result<PersistOutcome, TidemarkError> {
        var (stream, row) = try checked(writer, in: name)
        guard id <= stream.sequence else {
            throw .databaseWentBackwards(stream: name, id: id, problem: "the sequence is at \(stream.sequence)")
        }
        let existing = stream.ids[Array(event.id.utf8)]
        if existing == id { return .success(.alreadyPersisted(id)) }
        guard id > row.position, stream.rows[id] == nil else {
            throw .closed(stream: name, instance: writer.instance, id: id)
        }
        stream.commitNumber = stream.steps.nextCommit(after: stream.commitNumber)
        let newest = event.key.flatMap { stream.keyIndex == .complete ? stream.newest(ofKey: $0) : nil } ?? 0
        if existing != nil || newest > id {
            stream.rows[id] = .tombstone(CommitMark(stream.commitNumber))
        } else {
            stream.insert(event, at: id, by: writer, time: time)
        }
        streams[name] = stream
        if let existing { return .success(.alreadyPersisted(existing)) }
        if let key = event.key, newest > id {
            return .failure(.keyPassed(stream: name, key: key, id: id, newest: newest))
        }
        return .success(.persisted(id))
    }
}

extension InMemoryDatabase.Stream {
    /// Nil where not all of the events are there.
    fileprivate func outcome(of group: EventGroup) -> PersistedGroup? {
        var outcomes: [PersistOutcome] = []
        for event in group.events {
            guard let id = ids[Array(event.id.utf8)] else { return nil }
            let writer: InstanceName?
            if case .event(let found) = rows[id] { writer = found.instance } else { writer = prunedWriters[id] }
            let isOwn = writer == group.writer.instance && id > group.known
            outcomes.append(isOwn ? .persisted(id) : .alreadyPersisted(id))
        }
        return PersistedGroup(outcomes: outcomes)
    }

    fileprivate mutating func insert(_ event: Event, at id: StreamID, by writer: Writer, time: Int64) {
        ids[Array(event.id.utf8)] = id
        if keyIndex != .missing { index(event, at: id) }
        rows[id] = .event(
            PersistedEvent(
                event: event, streamID: id, instance: writer.instance, persistedAtMilliseconds: time,
                mark: CommitMark(commitNumber)))
    }
}

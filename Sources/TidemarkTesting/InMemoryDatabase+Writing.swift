import Tidemark

extension InMemoryDatabase {
    /// Rule 4: only the newest epoch of a member may write.
    private func checked(_ writer: Writer, in name: StreamName) throws(TidemarkError) -> (Stream, WriterRow) {
        guard let stream = streams[name], let row = stream.writers[writer.instance] else {
            throw .unknownInstance(stream: name, instance: writer.instance)
        }
        if row.epoch == writer.epoch && row.isMember { return (stream, row) }
        if let holder = row.taker(after: writer) {
            throw .instanceTaken(stream: name, writer: writer, by: holder)
        }
        throw .retired(stream: name, writer: writer)
    }

    public mutating func allocate(
        _ count: Int, in name: StreamName, for writer: Writer
    ) throws(TidemarkError) -> [StreamID] {
        let (stream, _) = try checked(writer, in: name)
        let first = stream.sequence.rawValue + 1
        streams[name]?.sequence = StreamID(stream.sequence.rawValue + Int64(count))
        return (first..<first + Int64(count)).map(StreamID.init(_:))
    }

    public mutating func abandon(_ ids: [StreamID], in name: StreamName) throws(TidemarkError) -> [StreamID] {
        guard var stream = streams[name] else { throw .unknownStream(stream: name, store: "memory") }
        var committed: [StreamID] = []
        let next = stream.steps.nextCommit(after: stream.commitNumber)
        var hasTombstones = false
        for id in ids {
            guard id <= stream.sequence else {
                throw .databaseWentBackwards(stream: name, id: id, problem: "the sequence is at \(stream.sequence)")
            }
            switch stream.rows[id] {
            case .event: committed.append(id)
            case .tombstone: break
            case nil:
                stream.rows[id] = .tombstone(commitNumber: next)
                hasTombstones = true
            }
        }
        if hasTombstones { stream.commitNumber = next }
        streams[name] = stream
        return committed
    }

    public mutating func persist(
        _ events: [Event], in name: StreamName, by writer: Writer, known: StreamID = 0, at time: Int64 = 0
    ) throws(TidemarkError) -> [PersistOutcome] {
        var (stream, row) = try checked(writer, in: name)
        guard stream.sequence >= known else {
            throw .databaseWentBackwards(stream: name, id: known, problem: "the sequence is at \(stream.sequence)")
        }
        stream.commitNumber = stream.steps.nextCommit(after: stream.commitNumber)
        var outcomes: [PersistOutcome] = []
        for event in events {
            let bytes = Array(event.id.utf8)
            if let id = stream.ids[bytes] {
                outcomes.append(.alreadyPersisted(id))
                continue
            }
            let id = StreamID(stream.sequence.rawValue + 1)
            precondition(id > row.position, "a durable position above the sequence")
            stream.sequence = id
            stream.insert(event, at: id, by: writer, time: time)
            outcomes.append(.persisted(id))
        }
        // A commit without rows is none.
        if outcomes.contains(where: { if case .persisted = $0 { true } else { false } }) { streams[name] = stream }
        return outcomes
    }

    public mutating func persist(
        _ event: Event, as id: StreamID, in name: StreamName, by writer: Writer, at time: Int64 = 0
    ) throws(TidemarkError) -> PersistOutcome {
        var (stream, row) = try checked(writer, in: name)
        guard id <= stream.sequence else {
            throw .databaseWentBackwards(stream: name, id: id, problem: "the sequence is at \(stream.sequence)")
        }
        let existing = stream.ids[Array(event.id.utf8)]
        if existing == id { return .alreadyPersisted(id) }
        guard id > row.position, stream.rows[id] == nil else {
            throw .closed(stream: name, instance: writer.instance, id: id)
        }
        stream.commitNumber = stream.steps.nextCommit(after: stream.commitNumber)
        if existing != nil {
            stream.rows[id] = .tombstone(commitNumber: stream.commitNumber)
        } else {
            stream.insert(event, at: id, by: writer, time: time)
        }
        streams[name] = stream
        return existing.map { .alreadyPersisted($0) } ?? .persisted(id)
    }
}

extension InMemoryDatabase.Stream {
    fileprivate mutating func insert(_ event: Event, at id: StreamID, by writer: Writer, time: Int64) {
        ids[Array(event.id.utf8)] = id
        rows[id] = .event(
            PersistedEvent(
                event: event, streamID: id, instance: writer.instance, persistedAtMilliseconds: time,
                commitNumber: commitNumber))
    }
}

import Tidemark

extension InMemoryDatabase {
    /// Makes the stream where it is missing, and its index of keys where it has no rows; the state of the index.
    public mutating func makeKeyIndex(of name: StreamName) -> KeyIndexState {
        var stream = existing(orNew: name)
        if stream.keyIndex == .missing, stream.rows.isEmpty { stream.keyIndex = .complete }
        streams[name] = stream
        return stream.keyIndex
    }

    /// A step of building the index, with the errors of an `EventStore`.
    public mutating func buildKeyIndex(of name: StreamName, limit: Int) throws(TidemarkError) -> KeyIndexState {
        guard var stream = streams[name] else { throw .unknownStream(stream: name, store: "memory") }
        let above: StreamID
        switch stream.keyIndex {
        case .complete: return .complete
        case .missing: above = StreamID(max(stream.sequence, stream.newestRow).rawValue + 1)
        case .building(let from): above = from
        }
        let missing = stream.rows.keys.filter { $0 < above }.sorted(by: >).prefix(limit)
        for id in missing {
            if case .event(let event) = stream.rows[id] { stream.index(event.event, at: id) }
        }
        stream.keyIndex = missing.count < limit ? .complete : missing.last.map { .building(from: $0) } ?? .complete
        streams[name] = stream
        return stream.keyIndex
    }

    /// The events of a key, ascending, with the errors of an `EventStore`.
    public func events(
        ofKey key: String, in name: StreamName, after position: StreamID, limit: Int, byteLimit: Int
    ) throws(TidemarkError) -> [PersistedEvent] {
        guard let stream = streams[name] else { throw .unknownStream(stream: name, store: "memory") }
        guard stream.keyIndex == .complete else {
            throw .noKeyIndex(stream: name, store: "memory", isBuilding: stream.keyIndex != .missing)
        }
        if let pruned = stream.prunedKeys[Array(key.utf8)], position < pruned {
            throw .pruned(stream: name, after: position, through: pruned)
        }
        var events: [PersistedEvent] = []
        var bytes = 0
        for id in stream.keys[Array(key.utf8)] ?? [] where id > position {
            guard events.count < limit, events.isEmpty || bytes < byteLimit else { break }
            guard case .event(let event) = stream.rows[id] else { preconditionFailure("the index names no event") }
            events.append(event)
            bytes += event.event.payload.count + event.event.metadataBytes
        }
        return events
    }
}

extension InMemoryDatabase.Stream {
    /// Puts the event into the index, where it is once.
    mutating func index(_ event: Event, at id: StreamID) {
        guard let key = event.key else { return }
        var ids = keys[Array(key.utf8)] ?? []
        let place = ids.firstIndex { $0 >= id } ?? ids.endIndex
        if place < ids.endIndex, ids[place] == id { return }
        ids.insert(id, at: place)
        keys[Array(key.utf8)] = ids
    }

    /// The newest event that the key has or had; nil where there was none.
    func newest(ofKey key: String) -> StreamID? {
        [keys[Array(key.utf8)]?.last, prunedKeys[Array(key.utf8)]].compactMap(\.self).max()
    }

    /// Whether a call may persist these events now.
    func judge(_ condition: KeyCondition, _ events: ArraySlice<Event>, in name: StreamName) -> KeyCondition.Judgement {
        guard keyIndex == .complete else {
            return .refuse(.noKeyIndex(stream: name, store: "memory", isBuilding: keyIndex != .missing))
        }
        return condition.judge(
            events, in: name,
            found: { event in
                guard let id = ids[Array(event.id.utf8)] else { return nil }
                // Only the id of one that was pruned is there: it is taken for the event that it was.
                guard case .event(let found) = rows[id] else { return (id, true) }
                return (id, found.event.key.map { Array($0.utf8) } == Array(condition.key.utf8))
            }, newest: { newest(ofKey: condition.key) })
    }
}

extension InMemoryEventStore: KeyIndexStore {
    public func makeKeyIndex(of stream: StreamName) async throws -> KeyIndexState {
        try await run(.makeKeyIndex) { $0.makeKeyIndex(of: stream) }
    }

    public func buildKeyIndex(of stream: StreamName, limit: Int) async throws -> KeyIndexState {
        try await run(.buildKeyIndex) { try $0.buildKeyIndex(of: stream, limit: limit) }
    }

    public func keyIndex(of stream: StreamName) async throws -> KeyIndexState? {
        try await run(.keyIndex) { $0.streams[stream]?.keyIndex }
    }

    public func events(
        ofKey key: String, in stream: StreamName, after position: StreamID, limit: Int, byteLimit: Int
    ) async throws -> [PersistedEvent] {
        try await run(.eventsOfKey(key)) {
            try $0.events(ofKey: key, in: stream, after: position, limit: limit, byteLimit: byteLimit)
        }
    }
}

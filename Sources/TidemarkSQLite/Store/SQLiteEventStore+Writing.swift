import GRDB
import Synchronization
import Tidemark

extension SQLiteEventStore {
    /// - Precondition: `count` is 1 to 1,000,000.
    public func allocate(_ count: Int, in stream: StreamName, for writer: Writer) async throws -> [StreamID] {
        precondition((1...1_000_000).contains(count), "one call allocates 1 to 1,000,000 IDs, not \(count)")
        return try await transact { db in
            let state = try WriterState(db, stream: stream, writer: writer, store: self.path)
            try state.requireMember(writer)
            let first = state.sequence.rawValue + 1
            let last = state.sequence.rawValue + Int64(count)
            try Query.run(
                db, "UPDATE tidemark_streams SET sequence = ?, previous_commit = commit_number WHERE stream = ?", last,
                state.streamRow)
            return (first...last).map { StreamID($0) }
        }
    }

    /// Works for a writer whose epoch is over too: what it left behind has to be finished by somebody.
    ///
    /// Where all of them hold events, which one look tells, it waits for nobody: what a snapshot shows is durable.
    /// A file has one incarnation: what it has handed out is durable.
    public func abandon(
        _ ids: [StreamID], allocatedIn incarnation: Incarnation?, in stream: StreamName, by writer: Writer
    ) async throws -> AbandonedIDs {
        if ids.isEmpty { return AbandonedIDs() }
        precondition(ids.allSatisfy { $0 >= 1 }, "the IDs of a stream begin at 1")
        let areCommitted = try await inSnapshot { db in
            let state = try WriterState(db, stream: stream, writer: writer, store: self.path)
            let rows = EventRows(db, state, persistedAt: 0)
            return try ids.allSatisfy(rows.holdsEvent)
        }
        if areCommitted { return AbandonedIDs(committed: ids) }
        let now = configuration.wallClockMilliseconds()
        return try await transact(mayRunHere: CallerThreadUse.mayTake(events: ids.count, bytes: 0)) { db in
            let state = try WriterState(db, stream: stream, writer: writer, store: self.path)
            for id in ids { try state.requireAllocated(id) }
            // What has moved away changes no more.
            try self.existing(stream, in: db).requireHere(stream, self.path)
            let rows = EventRows(db, state, persistedAt: now)
            var hasTombstones = false
            var (committed, pruned): ([StreamID], [StreamID]) = ([], [])
            for id in ids {
                if try id <= state.prunedThrough && !rows.isTaken(id) {
                    pruned.append(id)
                } else if try rows.insertTombstone(id) {
                    hasTombstones = true
                } else if try rows.holdsEvent(id) {
                    committed.append(id)
                }
            }
            if hasTombstones { try state.recordCommit(db, sequence: state.sequence) }
            return AbandonedIDs(committed: committed, pruned: pruned)
        }
    }

    public func persist(_ group: EventGroup) async throws -> PersistedGroup {
        if group.events.isEmpty { return PersistedGroup(outcomes: []) }
        let last = commits.withLock { $0.last(in: group.stream, by: group.writer) }
        // Who does not wait calls the other one. Here is a group, and its callers need the threads that they have.
        let inserted = try await transact(mayRunHere: false, group: group) { db in
            try self.insert(db, group, last: last)
        }
        return committed(inserted, in: group.stream, by: group.writer)
    }

    public func persistImmediately(_ group: EventGroup) throws -> PersistedGroup? {
        if group.events.isEmpty { return PersistedGroup(outcomes: []) }
        guard CallerThreadUse.mayTake(events: group.events.count, bytes: group.events.payloadBytes) else {
            return nil
        }
        let last = commits.withLock { $0.last(in: group.stream, by: group.writer) }
        let inserted = try transactHere(group: group) { db in try insert(db, group, last: last) }?.get()
        return inserted.map { committed($0, in: group.stream, by: group.writer) }
    }

    /// A file needs no fence: a transaction that this process has given up is rolled back before the next one begins. What
    /// its COMMIT has left in the `-wal` is overwritten here, so that no recovery finds it.
    public func settle(_ groups: [EventGroup]) async throws -> Settlement {
        guard let first = groups.first else { return Settlement(fence: 0, groups: []) }
        let settled = try await transact(mayRunHere: false) { db in
            let state = try WriterState(db, stream: first.stream, writer: first.writer, store: self.path)
            try Query.run(db, "UPDATE tidemark_instances SET heartbeat = heartbeat WHERE writer = ?", state.writerRow)
            let row = try self.existing(first.stream, in: db)
            return try groups.map { group in
                let outcome = try self.outcome(of: group, state, in: db)
                if outcome == nil { try row.pruned.requireKnown(group) }
                return outcome
            }
        }
        return Settlement(fence: 0, groups: settled)
    }

    /// Nil where not all of its events are there.
    private func outcome(of group: EventGroup, _ state: WriterState, in db: Database) throws -> PersistedGroup? {
        var outcomes: [PersistOutcome] = []
        for event in group.events {
            let found = try Query.first(
                db, "SELECT stream_id, writer FROM tidemark_events WHERE stream = ? AND event_id = ?",
                state.streamRow, event.id
            ) { (id: $0.streamID(0), writer: $0.number(1)) }
            guard let found else { return nil }
            let isOwn = found.writer == state.writerRow && found.id > group.known
            outcomes.append(isOwn ? .persisted(found.id) : .alreadyPersisted(found.id))
        }
        return PersistedGroup(outcomes: outcomes)
    }

    /// What a transaction wrote, and the last event of it, by which the database is known again.
    private typealias Inserted<Value> = (outcome: Value, mark: Delivered?)

    private func committed<Value>(_ inserted: Inserted<Value>, in stream: StreamName, by writer: Writer) -> Value {
        if let mark = inserted.mark {
            commits.withLock { $0.committed(mark, order: mark.mark.rawValue, in: stream, by: writer) }
        }
        return inserted.outcome
    }

    private func insert(
        _ db: Database, _ group: EventGroup, last: Delivered?
    ) throws -> Inserted<PersistedGroup> {
        let state = try WriterState(db, stream: group.stream, writer: group.writer, store: path, known: last)
        try state.requireMember(group.writer)
        try state.requireAllocated(group.known)
        let persisted: PersistedGroup
        do {
            let first = StreamID(state.sequence.rawValue + 1)
            let rows = EventRows(db, state, persistedAt: configuration.wallClockMilliseconds())
            persisted =
                group.hasConditions
                ? try insert(db, group, first: first, rows, state)
                : PersistedGroup(outcomes: try rows.insert(group.events[...], first: first))
        } catch let error as DatabaseError where error.extendedResultCode == .SQLITE_CONSTRAINT_PRIMARYKEY {
            throw TidemarkError.databaseWentBackwards(
                stream: group.stream, id: state.sequence, problem: "there are rows above the newest ID of the sequence")
        }
        let count = persisted.outcomes.count(where: \.isNew)
        guard count > 0 else { return (persisted, nil) }
        let newest = StreamID(state.sequence.rawValue + Int64(count))
        try state.recordCommit(db, sequence: newest)
        return (persisted, Delivered(streamID: newest, mark: CommitMark(state.nextCommit)))
    }

    /// The calls one after the other, so that each is judged by what the earlier ones have written.
    private func insert(
        _ db: Database, _ group: EventGroup, first: StreamID, _ rows: EventRows, _ state: WriterState
    ) throws -> PersistedGroup {
        var outcomes: [PersistOutcome] = []
        var refusals: [Int: CallRefusal] = [:]
        var rest = group.events[...]
        var next = first
        let keys = KeyRows(db, stream: state.streamRow)
        for (number, call) in group.calls.enumerated() {
            let events = rest.prefix(call.events)
            rest = rest.dropFirst(call.events)
            if let condition = call.condition,
                case .refuse(let error) = try judge(condition, events, in: group.stream, keys, state)
            {
                refusals[number] = .failed(error)
                continue
            }
            let written = try rows.insert(events, first: next)
            next = StreamID(next.rawValue + Int64(written.count(where: \.isNew)))
            outcomes += written
        }
        return PersistedGroup(outcomes: outcomes, refusals: refusals)
    }

    private func judge(
        _ condition: KeyCondition, _ events: ArraySlice<Event>, in stream: StreamName, _ keys: KeyRows,
        _ state: WriterState
    ) throws -> KeyCondition.Judgement {
        guard state.keyIndex == .complete else {
            return .refuse(
                .noKeyIndex(stream: stream, store: path, isBuilding: state.keyIndex != .missing))
        }
        return try condition.judge(
            events, in: stream, found: { try keys.find($0.id, key: condition.key) },
            newest: { try keys.newest(of: condition.key) })
    }

    public func persist(
        _ event: Event, as id: StreamID, in stream: StreamName, by writer: Writer
    ) async throws -> PersistOutcome {
        let now = configuration.wallClockMilliseconds()
        let last = commits.withLock { $0.last(in: stream, by: writer) }
        let inserted: Inserted<Result<PersistOutcome, TidemarkError>> = try await transact { db in
            let state = try WriterState(db, stream: stream, writer: writer, store: self.path, known: last)
            try state.requireMember(writer)
            try state.requireAllocated(id)
            let rows = EventRows(db, state, persistedAt: now)
            if let existing = try rows.streamID(ofEvent: event.id) {
                if try existing != id && rows.insertTombstone(id) {
                    try state.recordCommit(db, sequence: state.sequence)
                }
                return (.success(.alreadyPersisted(existing)), nil)
            }
            try state.requireFree(id, in: rows)
            if let key = event.key, let newest = try rows.newest(of: key), newest > id {
                _ = try rows.insertTombstone(id)
                try state.recordCommit(db, sequence: state.sequence)
                return (.failure(.keyPassed(stream: stream, key: key, id: id, newest: newest)), nil)
            }
            _ = try rows.insert([event], first: id)
            try state.recordCommit(db, sequence: state.sequence)
            return (.success(.persisted(id)), Delivered(streamID: id, mark: CommitMark(state.nextCommit)))
        }
        return try committed(inserted, in: stream, by: writer).get()
    }
}

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
            try Query.run(db, "UPDATE tidemark_streams SET sequence = ? WHERE stream = ?", last, state.streamRow)
            return (first...last).map { StreamID($0) }
        }
    }

    /// Works for a writer whose epoch is over too: what it left behind has to be finished by somebody.
    ///
    /// Where all of them hold events, which one look tells, it waits for nobody: what a snapshot shows is durable.
    public func abandon(_ ids: [StreamID], in stream: StreamName, by writer: Writer) async throws -> [StreamID] {
        if ids.isEmpty { return [] }
        precondition(ids.allSatisfy { $0 >= 1 }, "the IDs of a stream begin at 1")
        let areCommitted = try await inSnapshot { db in
            let state = try WriterState(db, stream: stream, writer: writer, store: self.path)
            let rows = EventRows(db, state, persistedAt: 0)
            return try ids.allSatisfy(rows.holdsEvent)
        }
        if areCommitted { return ids }
        let now = configuration.wallClockMilliseconds()
        return try await transact(mayRunHere: CallerThreadUse.mayTake(events: ids.count, bytes: 0)) { db in
            let state = try WriterState(db, stream: stream, writer: writer, store: self.path)
            for id in ids { try state.requireAllocated(id) }
            let rows = EventRows(db, state, persistedAt: now)
            var hasTombstones = false
            var committed: [StreamID] = []
            for id in ids {
                if try rows.insertTombstone(id) {
                    hasTombstones = true
                } else if try rows.holdsEvent(id) {
                    committed.append(id)
                }
            }
            if hasTombstones { try state.recordCommit(db, sequence: state.sequence) }
            return committed
        }
    }

    public func persist(
        _ events: [Event], in stream: StreamName, by writer: Writer, known: StreamID
    ) async throws -> [PersistOutcome] {
        if events.isEmpty { return [] }
        let last = commits.withLock { $0.last(in: stream, by: writer) }
        // Who does not wait calls the other one. Here is a group, and its callers need the threads that they have.
        let inserted = try await transact(mayRunHere: false) { db in
            try self.insert(db, events, in: stream, by: writer, known: known, last: last)
        }
        return committed(inserted, in: stream, by: writer)
    }

    public func persistImmediately(
        _ events: [Event], in stream: StreamName, by writer: Writer, known: StreamID
    ) throws -> [PersistOutcome]? {
        if events.isEmpty { return [] }
        guard CallerThreadUse.mayTake(events: events.count, bytes: events.payloadBytes) else {
            return nil
        }
        let last = commits.withLock { $0.last(in: stream, by: writer) }
        let inserted = try transactHere { db in
            try insert(db, events, in: stream, by: writer, known: known, last: last)
        }?.get()
        return inserted.map { committed($0, in: stream, by: writer) }
    }

    /// What a transaction wrote, and the last event of it, by which the database is known again.
    private typealias Inserted<Value> = (outcome: Value, mark: Delivered?)

    private func committed<Value>(_ inserted: Inserted<Value>, in stream: StreamName, by writer: Writer) -> Value {
        if let mark = inserted.mark { commits.withLock { $0.committed(mark, in: stream, by: writer) } }
        return inserted.outcome
    }

    private func insert(
        _ db: Database, _ events: [Event], in stream: StreamName, by writer: Writer, known: StreamID, last: Delivered?
    ) throws -> Inserted<[PersistOutcome]> {
        let state = try WriterState(db, stream: stream, writer: writer, store: path, known: last)
        try state.requireMember(writer)
        try state.requireAllocated(known)
        let outcomes: [PersistOutcome]
        do {
            let first = StreamID(state.sequence.rawValue + 1)
            let rows = EventRows(db, state, persistedAt: configuration.wallClockMilliseconds())
            outcomes = try rows.insert(events, first: first)
        } catch let error as DatabaseError where error.extendedResultCode == .SQLITE_CONSTRAINT_PRIMARYKEY {
            throw TidemarkError.databaseWentBackwards(
                stream: stream, id: state.sequence, problem: "there are rows above the newest ID of the sequence")
        }
        let persisted = outcomes.count { if case .persisted = $0 { true } else { false } }
        guard persisted > 0 else { return (outcomes, nil) }
        let newest = StreamID(state.sequence.rawValue + Int64(persisted))
        try state.recordCommit(db, sequence: newest)
        return (outcomes, Delivered(streamID: newest, commitNumber: state.nextCommit))
    }

    public func persist(
        _ event: Event, as id: StreamID, in stream: StreamName, by writer: Writer
    ) async throws -> PersistOutcome {
        let now = configuration.wallClockMilliseconds()
        let last = commits.withLock { $0.last(in: stream, by: writer) }
        let inserted: Inserted<PersistOutcome> = try await transact { db in
            let state = try WriterState(db, stream: stream, writer: writer, store: self.path, known: last)
            try state.requireMember(writer)
            try state.requireAllocated(id)
            let rows = EventRows(db, state, persistedAt: now)
            if let existing = try rows.streamID(ofEvent: event.id) {
                if try existing != id && rows.insertTombstone(id) {
                    try state.recordCommit(db, sequence: state.sequence)
                }
                return (.alreadyPersisted(existing), nil)
            }
            try state.requireFree(id, in: rows)
            _ = try rows.insert([event], first: id)
            try state.recordCommit(db, sequence: state.sequence)
            return (.persisted(id), Delivered(streamID: id, commitNumber: state.nextCommit))
        }
        return committed(inserted, in: stream, by: writer)
    }
}

import GRDB
import Tidemark

/// Inserts rows of one transaction into the table of events.
struct EventRows {
    private let db: Database
    private let state: WriterState
    private let persistedAt: Int64
    /// Nil where the stream has no index of keys.
    private let keys: KeyRows?

    init(_ db: Database, _ state: WriterState, persistedAt: Int64) {
        self.db = db
        self.state = state
        self.persistedAt = persistedAt
        keys = state.keyIndex == .missing ? nil : KeyRows(db, stream: state.streamRow)
    }

    /// Inserts events under ascending IDs from `first`; an event whose id is there already, from before or from earlier
    /// in the same group, takes none.
    func insert(_ events: ArraySlice<Event>, first: StreamID) throws -> [PersistOutcome] {
        let query = try Query(
            db,
            """
            INSERT INTO tidemark_events
                (stream, stream_id, kind, event_id, type, key, payload, writer, persisted_at, commit_number, metadata)
            VALUES (?1, ?2, 0, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
            ON CONFLICT (stream, event_id) WHERE event_id IS NOT NULL DO NOTHING
            """)
        defer { query.reset() }
        try query.bind(state.streamRow, at: 1)
        try query.bind(state.writerRow, at: 7)
        try query.bind(persistedAt, at: 8)
        try query.bind(state.nextCommit, at: 9)
        var outcomes: [PersistOutcome] = []
        outcomes.reserveCapacity(events.count)
        var next = first.rawValue
        // A span lends its elements: nothing of an event is copied but by SQLite, into the page.
        let span = events.span
        for index in span.indices {
            if try query.insert(span[index], as: StreamID(next)) {
                if let keys, let key = span[index].key { try keys.insert(key, StreamID(next)) }
                outcomes.append(.persisted(StreamID(next)))
                next += 1
                continue
            }
            guard let existing = try streamID(ofEvent: span[index].id) else {
                throw DatabaseError(resultCode: .SQLITE_CORRUPT, message: "the index of event ids names no event")
            }
            outcomes.append(.alreadyPersisted(existing))
        }
        return outcomes
    }

    /// The newest event of a key, above which an event of that key commits; nil where the stream has no complete index of keys,
    /// or the key no event.
    func newest(of key: String) throws -> StreamID? {
        state.keyIndex == .complete ? try keys?.newest(of: key) : nil
    }

    /// Whether the row was free; then no event can take it any more.
    func insertTombstone(_ id: StreamID) throws -> Bool {
        try Query.run(
            db,
            """
            INSERT INTO tidemark_events (stream, stream_id, kind, writer, persisted_at, commit_number)
            VALUES (?, ?, 1, ?, ?, ?)
            ON CONFLICT (stream, stream_id) DO NOTHING
            """, state.streamRow, id, state.writerRow, persistedAt, state.nextCommit) == 1
    }

    /// What pruning has left of an event: it is in no index of keys. Whether there was none with its id.
    func insertPruned(_ eventID: String, key: String?, _ id: StreamID) throws -> Bool {
        try Query.run(
            db,
            """
            INSERT INTO tidemark_events
                (stream, stream_id, kind, event_id, type, key, writer, persisted_at, commit_number)
            VALUES (?, ?, 0, ?, '', ?, ?, ?, ?)
            ON CONFLICT (stream, event_id) WHERE event_id IS NOT NULL DO NOTHING
            """, state.streamRow, id, eventID, key, state.writerRow, persistedAt, state.nextCommit) == 1
    }

    /// Marks the row as that of an event in a table of the user's own.
    func insertOwn(_ id: StreamID) throws {
        try Query.run(
            db,
            """
            INSERT INTO tidemark_events (stream, stream_id, kind, writer, persisted_at, commit_number)
            VALUES (?, ?, 2, ?, ?, ?)
            """, state.streamRow, id, state.writerRow, persistedAt, state.nextCommit)
    }

    /// Whether the row holds an event or a tombstone.
    func isTaken(_ id: StreamID) throws -> Bool {
        try kind(of: id) != nil
    }

    /// Whether the row holds an event, one of Tidemark's or of the user's own.
    func holdsEvent(_ id: StreamID) throws -> Bool {
        try kind(of: id).map { $0 != 1 } ?? false
    }

    func streamID(ofEvent eventID: String) throws -> StreamID? {
        try Query.first(
            db, "SELECT stream_id FROM tidemark_events WHERE stream = ? AND event_id = ?", state.streamRow, eventID
        ) { $0.streamID(0) }
    }

    private func kind(of id: StreamID) throws -> Int64? {
        try Query.first(
            db, "SELECT kind FROM tidemark_events WHERE stream = ? AND stream_id = ?", state.streamRow, id
        ) { $0.number(0) }
    }
}

extension Query {
    /// Binds what is the event's own and inserts it; whether there was none with its id.
    fileprivate func insert(_ event: borrowing Event, as id: StreamID) throws -> Bool {
        try bind(id.rawValue, at: 2)
        if !event.metadata.isEmpty, let metadata = try MetadataText.text(event.metadata) { try bind(metadata, at: 10) }
        return try withStatic(event.id, at: 3) {
            try withStatic(event.type, at: 4) {
                guard let key = event.key else {
                    try bindNull(at: 5)
                    return try insert(payload: event.payload, hasMetadata: !event.metadata.isEmpty)
                }
                return try withStatic(key, at: 5) {
                    try insert(payload: event.payload, hasMetadata: !event.metadata.isEmpty)
                }
            }
        }
    }

    private func insert(payload: borrowing [UInt8], hasMetadata: Bool) throws -> Bool {
        try payload.withUnsafeBytes { payload in
            try bindStatic(payload, at: 6)
            // Before the bytes go, the statement lets go of them, and of the texts.
            defer {
                rewind(clearing: 3...6)
                if hasMetadata { rewind(clearing: 10...10) }
            }
            _ = try step()
            return changes == 1
        }
    }
}

import GRDB
import Tidemark

/// The index of keys of one stream, in one transaction.
struct KeyRows {
    private let db: Database
    private let stream: Int64

    init(_ db: Database, stream: Int64) {
        self.db = db
        self.stream = stream
    }

    func insert(_ key: String, _ id: StreamID) throws {
        try Query.run(db, "INSERT INTO tidemark_keys (stream, key, stream_id) VALUES (?, ?, ?)", stream, key, id)
    }

    /// The newest event that the key has or had; nil where there was none.
    func newest(of key: String) throws -> StreamID? {
        let newest = try Query.first(
            db,
            """
            SELECT max(
                coalesce((
                    SELECT stream_id FROM tidemark_keys WHERE stream = ?1 AND key = ?2 ORDER BY stream_id DESC LIMIT 1), 0),
                coalesce((SELECT stream_id FROM tidemark_pruned_keys WHERE stream = ?1 AND key = ?2), 0))
            """, stream, key
        ) { $0.streamID(0) }
        return newest == 0 ? nil : newest
    }

    /// The newest event of the key that was pruned; 0 where none was.
    func newestPruned(of key: String) throws -> StreamID {
        try Query.first(
            db, "SELECT stream_id FROM tidemark_pruned_keys WHERE stream = ? AND key = ?", stream, key
        ) { $0.streamID(0) } ?? 0
    }

    /// Where an event is, and whether it has the key.
    func find(_ eventID: String, key: String) throws -> KeyCondition.Found? {
        try Query.first(
            db, "SELECT stream_id, key IS ?3 FROM tidemark_events WHERE stream = ?1 AND event_id = ?2", stream, eventID,
            key
        ) { (streamID: $0.streamID(0), hasKey: $0.number(1) == 1) }
    }

    /// Events of the key, ascending, as far as the limits go.
    func events(of key: String, after position: StreamID, limit: Int, byteLimit: Int) throws -> [PersistedEvent] {
        let query = try Query(
            db,
            """
            SELECT e.stream_id, e.event_id, e.type, e.key, e.payload, e.writer, e.persisted_at, e.commit_number, e.metadata
            FROM tidemark_keys k JOIN tidemark_events e ON e.stream = k.stream AND e.stream_id = k.stream_id
            WHERE k.stream = ?1 AND k.key = ?2 AND k.stream_id > ?3
            ORDER BY k.stream_id
            """)
        defer { query.reset() }
        try query.bind(stream, at: 1)
        try query.bind(key, at: 2)
        try query.bind(position.rawValue, at: 3)
        var decoder = EventDecoder(db)
        var events: [PersistedEvent] = []
        var bytes = 0
        while events.count < limit, events.isEmpty || bytes < byteLimit, try query.step() {
            let event = try decoder.event(query)
            bytes += event.event.payload.count + event.event.metadataBytes
            events.append(event)
        }
        return events
    }
}

extension KeyIndexState {
    /// As the column `keyed_from` has it.
    init(_ row: Query, column: Int32) {
        if row.isNull(column) {
            self = .missing
        } else {
            self = row.number(column) == 0 ? .complete : .building(from: row.streamID(column))
        }
    }
}

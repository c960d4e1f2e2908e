import GRDB
import Tidemark

extension SQLiteEventStore {
    public func snapshot(of stream: StreamName, _ request: SnapshotRequest) async throws -> Snapshot? {
        try await inSnapshot { db in
            guard let row = try StreamRow.named(stream, in: db) else { return nil }
            let membership = try row.membership(db)
            let newest = try row.newestEvent(db)
            let deliveredIsThere = try request.delivered.map { try Self.isThere($0, in: row, db) } ?? true
            var batch = EventRange()
            if deliveredIsThere && membership.version == request.membershipVersion {
                // Without members nobody can commit: what is here is all there will ever be up to the newest.
                let through = membership.members.isEmpty ? newest : request.through
                batch = try Self.events(of: row, request, through: through, db)
            }
            return Snapshot(
                membership: membership, newestEvent: newest, sequence: row.sequence, commitNumber: row.commitNumber,
                deliveredIsThere: deliveredIsThere, events: batch.events, ownEvents: batch.ownEvents,
                isTruncated: batch.isTruncated)
        }
    }

    public func reconciliation(
        of stream: StreamName, above minimum: StreamID, limit: Int
    ) async throws -> Reconciliation? {
        let readAt = configuration.awakeTime()
        return try await inSnapshot { db in
            guard let row = try StreamRow.named(stream, in: db) else { return nil }
            return Reconciliation(
                membership: try row.membership(db), sequence: row.sequence,
                newestCommitted: try row.newestCommitted(db),
                finished: try FinishedIDs.ranges(of: row, above: minimum, limit: limit, db),
                observations: self.observations(of: try WriterLife.members(of: row, db), readAt: readAt),
                newestEvent: try row.newest(db))
        }
    }

    public func event(withID id: String, in stream: StreamName) async throws -> PersistedEvent? {
        try await inSnapshot { db in
            try Query.first(
                db,
                """
                SELECT e.stream_id, e.event_id, e.type, e.key, e.payload, e.writer, e.persisted_at,
                    e.commit_number
                FROM tidemark_streams s JOIN tidemark_events e ON e.stream = s.stream
                WHERE s.name = ? AND e.event_id = ?
                """, stream, id
            ) { row in
                var decoder = EventDecoder(db)
                return try decoder.event(row)
            }
        }
    }

    private static func isThere(_ delivered: Delivered, in row: StreamRow, _ db: Database) throws -> Bool {
        let found = try Query.first(
            db,
            """
            SELECT 1 FROM tidemark_events
            WHERE stream = ? AND stream_id = ? AND kind <> 1 AND commit_number = ? AND event_id IS ?
            """, row.row, delivered.streamID, delivered.commitNumber, delivered.eventID
        ) { _ in true }
        return found == true
    }

    /// The events of a range that a limit may have cut off.
    private struct EventRange {
        var events: [PersistedEvent] = []
        var ownEvents: [OwnEvent] = []
        var isTruncated = false
    }

    private static func events(
        of row: StreamRow, _ request: SnapshotRequest, through: StreamID, _ db: Database
    ) throws -> EventRange {
        let query = try Query(
            db,
            """
            SELECT stream_id, event_id, type, key, payload, writer, persisted_at, commit_number, kind
            FROM tidemark_events
            WHERE stream = ?1 AND stream_id > ?2 AND stream_id <= ?3 AND kind <> 1
            ORDER BY stream_id
            """)
        defer { query.reset() }
        try query.bind(row.row, at: 1)
        try query.bind(request.after.rawValue, at: 2)
        try query.bind(through.rawValue, at: 3)
        var decoder = EventDecoder(db)
        var range = EventRange()
        var payloadBytes = 0
        while try query.step() {
            if range.events.count + range.ownEvents.count >= request.limit || payloadBytes >= request.byteLimit {
                range.isTruncated = true
                break
            }
            if query.number(8) == 0 {
                let event = try decoder.event(query)
                payloadBytes += event.event.payload.count
                range.events.append(event)
            } else {
                range.ownEvents.append(try decoder.ownEvent(query))
            }
        }
        return range
    }
}

import GRDB
import Tidemark

extension SQLiteEventStore {
    public func snapshot(of stream: StreamName, _ request: SnapshotRequest) async throws -> Snapshot? {
        try await inSnapshot { db in
            guard let opened = try OpenedSnapshot(stream, request, db, store: self.path) else { return nil }
            var decoder = EventDecoder(db)
            var events: [PersistedEvent] = []
            events.reserveCapacity(opened.expectedCount)
            var externalEvents: [ExternalEvent] = []
            let isTruncated = try opened.forEachRow { row, isExternal in
                if isExternal {
                    externalEvents.append(try decoder.externalEvent(row))
                    return 0
                }
                let event = try decoder.event(row)
                events.append(event)
                return event.event.payload.count + event.event.metadataBytes
            }
            return opened.snapshot(
                events, externalEvents, isTruncated: isTruncated, passed: try opened.passed(isTruncated: isTruncated))
        }
    }

    public func rawSnapshot<Result: Sendable>(
        of stream: StreamName, _ request: SnapshotRequest, into initial: Result,
        accepting: @Sendable (Snapshot) -> Bool, _ visit: @Sendable (inout Result, RawEvent) throws -> Void
    ) async throws -> RawSnapshot<Result>? {
        try await inSnapshot { db in
            guard let opened = try OpenedSnapshot(stream, request, db, store: self.path) else { return nil }
            var result = initial
            guard accepting(opened.snapshot([], isTruncated: false)) else {
                return RawSnapshot(
                    snapshot: opened.snapshot([], isTruncated: false), last: nil, delivered: DeliveredSum(),
                    result: result)
            }
            var decoder = EventDecoder(db)
            var delivered = DeliveredSum()
            var last: StreamID?
            let isTruncated = try opened.forEachRow { row, isExternal in
                let id = row.streamID(0)
                last = id
                delivered.add(id, mark: CommitMark(row.number(7)))
                return try decoder.withRawEvent(row, isExternal: isExternal) { try visit(&result, $0) }
            }
            let passed = try opened.passed(isTruncated: isTruncated) ?? last.map(opened.delivered)
            return RawSnapshot(
                snapshot: opened.snapshot([], isTruncated: isTruncated, passed: passed), last: passed,
                delivered: delivered, result: result)
        }
    }

    public func reconciliation(
        of stream: StreamName, above minimum: StreamID, limit: Int
    ) async throws -> Reconciliation? {
        let readAt = configuration.awakeTime()
        return try await inSnapshot { db in
            guard let row = try StreamRow.named(stream, in: db) else { return nil }
            try row.requireHere(stream, self.path)
            return Reconciliation(
                membership: try row.membership(db), sequence: row.sequence,
                newestCommitted: try row.newestCommitted(db),
                finished: try FinishedIDs.ranges(of: row, above: minimum, limit: limit, db),
                observations: self.observations(of: try WriterLife.members(of: row, db), readAt: readAt),
                newest: try row.newest(db))
        }
    }

    public func event(withID id: String, in stream: StreamName) async throws -> PersistedEvent? {
        try await inSnapshot { db in
            try Query.first(
                db,
                """
                SELECT e.stream_id, e.event_id, e.type, e.key, e.payload, e.writer, e.persisted_at,
                    e.commit_number, e.metadata, s.pruned_through
                FROM tidemark_streams s JOIN tidemark_events e ON e.stream = s.stream
                WHERE s.name = ? AND e.event_id = ?
                """, stream, id
            ) { row in
                if row.streamID(0) <= row.streamID(9) {
                    throw TidemarkError.pruned(
                        stream: stream, after: StreamID(row.number(0) - 1), through: row.streamID(9))
                }
                var decoder = EventDecoder(db)
                return try decoder.event(row)
            }
        }
    }
}

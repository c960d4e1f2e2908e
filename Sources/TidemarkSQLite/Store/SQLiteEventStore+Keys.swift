import GRDB
import Tidemark

extension SQLiteEventStore: KeyIndexStore {
    public func makeKeyIndex(of stream: StreamName) async throws -> KeyIndexState {
        try await transact { db in
            let row = try self.makeStream(stream, in: db)
            guard row.keyIndex == .missing, try row.newestCommitted(db) == 0 else { return row.keyIndex }
            return try Self.setKeyIndex(.complete, of: row, in: db)
        }
    }

    /// Every event that commits after it has begun puts its key there. So what is missing lies at or below the sequence that is
    /// there then, and from the newest down all of it is found.
    public func buildKeyIndex(of stream: StreamName, limit: Int) async throws -> KeyIndexState {
        precondition(limit >= 1, "a step takes at least one row in")
        return try await transact(mayRunHere: false) { db in
            try Schema.requireNewest(db, in: self.path)
            let row = try self.existing(stream, in: db)
            // A stream that arrives is made with the index that it had.
            if let place = row.movedTo {
                throw TidemarkError.streamMoved(stream: stream, store: self.path, to: place)
            }
            let above: StreamID
            switch row.keyIndex {
            case .complete: return .complete
            case .missing: above = StreamID(max(row.sequence, try row.newestCommitted(db)).rawValue + 1)
            case .building(let from): above = from
            }
            let lowest = try Query.first(
                db,
                """
                SELECT min(stream_id), count(*) FROM (
                    SELECT stream_id FROM tidemark_events WHERE stream = ?1 AND stream_id < ?2 AND stream_id > ?4
                    ORDER BY stream_id DESC LIMIT ?3)
                """, row.row, above, limit, row.pruned.through
            ) { $0.number(1) < limit ? nil : $0.streamID(0) }
            let from = (lowest ?? nil) ?? 0
            try Query.run(
                db,
                """
                INSERT INTO tidemark_keys (stream, key, stream_id)
                SELECT stream, key, stream_id FROM tidemark_events
                WHERE stream = ? AND stream_id >= ? AND stream_id < ? AND kind = 0 AND key IS NOT NULL
                ON CONFLICT DO NOTHING
                """, row.row, max(from, StreamID(row.pruned.through.rawValue + 1)), above)
            return try Self.setKeyIndex(from == 0 ? .complete : .building(from: from), of: row, in: db)
        }
    }

    public func keyIndex(of stream: StreamName) async throws -> KeyIndexState? {
        try await inSnapshot { db in try StreamRow.named(stream, in: db)?.keyIndex }
    }

    public func events(
        ofKey key: String, in stream: StreamName, after position: StreamID, limit: Int, byteLimit: Int
    ) async throws -> [PersistedEvent] {
        try await inSnapshot { db in
            let row = try self.existing(stream, in: db)
            try row.requireHere(stream, self.path)
            guard row.keyIndex == .complete else {
                throw TidemarkError.noKeyIndex(
                    stream: stream, store: self.path, isBuilding: row.keyIndex != .missing)
            }
            let keys = KeyRows(db, stream: row.row)
            let pruned = try keys.newestPruned(of: key)
            guard position >= pruned else {
                throw TidemarkError.pruned(stream: stream, after: position, through: pruned)
            }
            return try keys.events(of: key, after: position, limit: limit, byteLimit: byteLimit)
        }
    }

    private static func setKeyIndex(
        _ state: KeyIndexState, of row: StreamRow, in db: Database
    ) throws -> KeyIndexState {
        let from: StreamID?
        switch state {
        case .missing: from = nil
        case .building(let id): from = id
        case .complete: from = 0
        }
        try Query.run(
            db, "UPDATE tidemark_streams SET keyed_from = ?, previous_commit = commit_number WHERE stream = ?", from,
            row.row)
        return state
    }
}

import GRDB
import Tidemark

extension PrunedPrefix {
    /// From the columns of a stream, `pruned_through` and those after it.
    init(_ row: Query, column: Int32) {
        self.init()
        through = row.streamID(column)
        if !row.isNull(column + 1) {
            last = Delivered(streamID: row.streamID(column + 1), mark: CommitMark(row.number(column + 2)))
        }
        events = DeliveredSum(count: row.number(column + 3), sum: UInt64(bitPattern: row.number(column + 4)))
        newestCommit = CommitMark(row.number(column + 5))
        latestMilliseconds = row.isNull(column + 6) ? nil : row.number(column + 6)
        forgottenThrough = row.streamID(column + 7)
    }
}

/// Removes the beginning of a stream, in one transaction.
struct PruneRows {
    private let request: PruneRequest
    private let stream: StreamRow
    private let db: Database
    private var tally: PruneTally

    /// Those who read what was removed, and are to be stopped.
    var passedOver: Set<ConsumerName> { tally.passedOver }

    /// - Throws: ``TidemarkError/pruneHeldBack(stream:id:by:at:)``,
    ///   ``TidemarkError/unknownConsumer(stream:consumer:known:)``.
    init(_ request: PruneRequest, _ stream: StreamRow, in db: Database) throws {
        (self.request, self.stream, self.db) = (request, stream, db)
        tally = try PruneTally(request, stream.pruned, Self.consumers(of: stream, in: db))
        try tally.requireFree(
            members: stream.membership(db).members, sequence: stream.sequence, newestRow: stream.newestCommitted(db))
    }

    private static func consumers(of stream: StreamRow, in db: Database) throws -> [PruneTally.Consumer] {
        let partitions = try Query.all(
            db,
            """
            SELECT consumer, partition, start_after, position, pruned_count, pruned_sum FROM tidemark_partitions
            WHERE stream = ?
            """, stream.row
        ) { row in
            (
                consumer: try ConsumerName(validating: row.text(0)), number: Int(row.number(1)),
                start: row.streamID(2), position: row.streamID(3), pruned: row.deliveredSum(4) ?? DeliveredSum()
            )
        }
        let byConsumer = Dictionary(grouping: partitions, by: \.consumer)
        return try ConsumerRow.all(of: stream, in: db).flatMap { consumer -> [PruneTally.Consumer] in
            if let rows = byConsumer[consumer.name] {
                return rows.map {
                    PruneTally.Consumer(
                        name: consumer.name, partition: ($0.number, rows.count), start: $0.start,
                        position: $0.position, filter: consumer.filter, pruned: $0.pruned)
                }
            }
            let pruned = try Query.first(
                db, "SELECT pruned_count, pruned_sum FROM tidemark_consumers WHERE stream = ? AND name = ?",
                stream.row, consumer.name
            ) { $0.deliveredSum(0) }
            return [
                PruneTally.Consumer(
                    name: consumer.name, start: consumer.start, position: consumer.position, filter: consumer.filter,
                    pruned: (pruned ?? nil) ?? DeliveredSum())
            ]
        }
    }

    mutating func run() throws -> PruneStep {
        if tally.isDone { return PruneStep(events: 0, through: stream.pruned.through, isDone: true) }
        try look()
        let (end, step) = tally.end()
        if request.forgetsIDs {
            try Query.run(
                db, "DELETE FROM tidemark_events WHERE stream = ? AND stream_id > ? AND stream_id <= ?", stream.row,
                tally.start, end)
        } else {
            try Query.run(
                db, "DELETE FROM tidemark_events WHERE stream = ? AND stream_id > ? AND stream_id <= ? AND kind <> 0",
                stream.row, tally.start, end)
            try Query.run(
                db,
                """
                UPDATE tidemark_events SET type = '', payload = NULL, metadata = NULL
                WHERE stream = ? AND stream_id > ? AND stream_id <= ?
                """, stream.row, tally.start, end)
            try mergePages(through: end)
        }
        try write()
        return step
    }

    /// An UPDATE that makes rows smaller leaves each where it is, on a page that is almost empty then. A DELETE merges such a page
    /// with those beside it. So a few rows of each page are taken out and put back.
    private func mergePages(through end: StreamID) throws {
        let rows = try Query.all(
            db,
            """
            SELECT stream_id, event_id, key, writer, persisted_at, commit_number FROM tidemark_events
            WHERE stream = ? AND stream_id > ? AND stream_id <= ? AND stream_id % 8 = 0
            """, stream.row, tally.start, end
        ) { row in
            (
                id: row.streamID(0), eventID: row.text(1), key: row.isNull(2) ? nil : row.text(2),
                writer: row.number(3), persistedAt: row.number(4), commit: row.number(5)
            )
        }
        for row in rows {
            try Query.run(db, "DELETE FROM tidemark_events WHERE stream = ? AND stream_id = ?", stream.row, row.id)
            try Query.run(
                db,
                """
                INSERT INTO tidemark_events
                    (stream, stream_id, kind, event_id, type, key, writer, persisted_at, commit_number)
                VALUES (?, ?, 0, ?, '', ?, ?, ?, ?)
                """, stream.row, row.id, row.eventID, row.key, row.writer, row.persistedAt, row.commit)
        }
    }

    /// Counts what will be removed.
    private mutating func look() throws {
        let query = try Query(
            db,
            """
            SELECT stream_id, commit_number, kind, type, key, persisted_at FROM tidemark_events
            WHERE stream = ?1 AND stream_id > ?2 AND stream_id <= ?3 ORDER BY stream_id LIMIT ?4
            """)
        defer { query.reset() }
        try query.bind(stream.row, at: 1)
        try query.bind(tally.start.rawValue, at: 2)
        try query.bind(request.through.rawValue, at: 3)
        try query.bind(Int64(request.limit), at: 4)
        while try query.step() {
            tally.row(
                query.streamID(0), mark: CommitMark(query.number(1)), kind: query.number(2),
                type: query.isNull(3) ? nil : query.text(3), key: query.isNull(4) ? nil : query.text(4),
                milliseconds: query.number(5))
        }
    }

    private func write() throws {
        let pruned = tally.pruned
        try Query.run(
            db,
            """
            UPDATE tidemark_streams SET
                pruned_through = ?2, pruned_id = ?3, pruned_commit = ?4, pruned_count = ?5, pruned_sum = ?6,
                pruned_newest_commit = ?7, pruned_at = ?8, forgotten_through = ?9, previous_commit = commit_number
            WHERE stream = ?1
            """, stream.row, pruned.through, pruned.last?.streamID, pruned.last?.mark.rawValue, pruned.events.count,
            Int64(bitPattern: pruned.events.sum), pruned.newestCommit.rawValue, pruned.latestMilliseconds,
            pruned.forgottenThrough)
        for (bytes, id) in tally.keys {
            let key = String(decoding: bytes, as: UTF8.self)
            if stream.keyIndex != .missing {
                try Query.run(
                    db, "DELETE FROM tidemark_keys WHERE stream = ? AND key = ? AND stream_id <= ?", stream.row, key, id
                )
            }
            try Query.run(
                db,
                """
                INSERT INTO tidemark_pruned_keys (stream, key, stream_id) VALUES (?, ?, ?)
                ON CONFLICT (stream, key) DO UPDATE SET stream_id = max(stream_id, excluded.stream_id)
                """, stream.row, key, id)
        }
        for consumer in tally.consumers where consumer.hasChanged {
            let sum = Int64(bitPattern: consumer.pruned.sum)
            if let partition = consumer.partition {
                try Query.run(
                    db,
                    """
                    UPDATE tidemark_partitions SET pruned_count = ?4, pruned_sum = ?5
                    WHERE stream = ?1 AND consumer = ?2 AND partition = ?3
                    """, stream.row, consumer.name, partition.number, consumer.pruned.count, sum)
            } else {
                try Query.run(
                    db,
                    """
                    UPDATE tidemark_consumers SET pruned_count = ?3, pruned_sum = ?4 WHERE stream = ?1 AND name = ?2
                    """, stream.row, consumer.name, consumer.pruned.count, sum)
            }
        }
    }
}

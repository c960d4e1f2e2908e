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
    private var pruned: PrunedPrefix
    private var consumers: [Judged]
    private var keys: [String: StreamID] = [:]

    /// Whose past is judged later by how many events it was to be given, and by their sum.
    private struct Judged {
        let name: ConsumerName
        /// Nil for a consumer that has none.
        let partition: (number: Int, count: Int)?
        let start: StreamID
        let position: StreamID
        let filter: EventFilter
        var pruned = DeliveredSum()

        func wants(_ event: Delivered, type: String?, key: String?) -> Bool {
            guard event.streamID > start, event.streamID <= position else { return false }
            if let partition,
                PartitionHash.partition(ofKey: key, id: event.streamID, of: partition.count) != partition.number
            {
                return false
            }
            return filter == .all || type.map { filter.passes(type: $0, key: key) } ?? false
        }
    }

    init(_ request: PruneRequest, _ stream: StreamRow, in db: Database) throws {
        (self.request, self.stream, self.db) = (request, stream, db)
        pruned = stream.pruned
        let consumers = try ConsumerRow.all(of: stream, in: db)
        for name in request.ignoring where !consumers.contains(where: { $0.name == name }) {
            throw TidemarkError.unknownConsumer(stream: request.stream, consumer: name, known: consumers.map(\.name))
        }
        let partitions = try Query.all(
            db, "SELECT consumer, partition, start_after, position FROM tidemark_partitions WHERE stream = ?",
            stream.row
        ) { (try ConsumerName(validating: $0.text(0)), Int($0.number(1)), $0.streamID(2), $0.streamID(3)) }
        let byConsumer = Dictionary(grouping: partitions, by: \.0)
        self.consumers = consumers.flatMap { consumer in
            byConsumer[consumer.name].map { rows in
                rows.map {
                    Judged(
                        name: consumer.name, partition: ($0.1, rows.count), start: $0.2, position: $0.3,
                        filter: consumer.filter)
                }
            } ?? [
                Judged(
                    name: consumer.name, partition: nil, start: consumer.start, position: consumer.position,
                    filter: consumer.filter)
            ]
        }
    }

    /// - Throws: ``TidemarkError/pruneHeldBack(stream:id:by:at:)``.
    func requireFree() throws {
        // What is done already is done.
        guard request.through > pruned.through else { return }
        let members = try stream.membership(db).members
        let end = try stream.newestCommitted(db)
        var lowest: (holder: PruneHolder, place: StreamID) = (.end, members.isEmpty ? end : stream.sequence)
        for (writer, position) in members where position < lowest.place { lowest = (.writer(writer), position) }
        for consumer in consumers where !request.ignoring.contains(consumer.name) && consumer.position < lowest.place {
            lowest = (.consumer(consumer.name), consumer.position)
        }
        guard request.through > lowest.place else { return }
        throw TidemarkError.pruneHeldBack(
            stream: request.stream, id: request.through, by: lowest.holder, at: lowest.place)
    }

    mutating func run() throws -> PruneStep {
        let before = pruned
        let start = request.forgetsIDs ? before.forgottenThrough : before.through
        guard request.through > start else { return PruneStep(events: 0, through: before.through, isDone: true) }
        let (rows, last) = try look(after: start)
        let isDone = rows < request.limit
        let end = isDone ? request.through : last
        pruned.through = max(before.through, end)
        if request.forgetsIDs {
            pruned.forgottenThrough = end
            try Query.run(
                db, "DELETE FROM tidemark_events WHERE stream = ? AND stream_id > ? AND stream_id <= ?", stream.row,
                start, end)
        } else {
            try Query.run(
                db, "DELETE FROM tidemark_events WHERE stream = ? AND stream_id > ? AND stream_id <= ? AND kind <> 0",
                stream.row, start, end)
            try Query.run(
                db,
                """
                UPDATE tidemark_events SET type = '', payload = NULL, metadata = NULL
                WHERE stream = ? AND stream_id > ? AND stream_id <= ?
                """, stream.row, start, end)
        }
        try write()
        return PruneStep(
            events: Int(pruned.events.count - before.events.count), through: pruned.through, isDone: isDone)
    }

    /// Counts what will be removed; how many rows, and the last of them.
    private mutating func look(after start: StreamID) throws -> (rows: Int, last: StreamID) {
        let query = try Query(
            db,
            """
            SELECT stream_id, commit_number, kind, type, key, persisted_at FROM tidemark_events
            WHERE stream = ?1 AND stream_id > ?2 AND stream_id <= ?3 ORDER BY stream_id LIMIT ?4
            """)
        defer { query.reset() }
        try query.bind(stream.row, at: 1)
        try query.bind(start.rawValue, at: 2)
        try query.bind(request.through.rawValue, at: 3)
        try query.bind(Int64(request.limit), at: 4)
        let mark = pruned.through
        var (rows, last) = (0, start)
        while try query.step() {
            rows += 1
            last = query.streamID(0)
            // Of what was pruned before, the id alone goes.
            if last <= mark { continue }
            let commit = CommitMark(query.number(1))
            pruned.newestCommit = CommitMark(max(pruned.newestCommit.rawValue, commit.rawValue))
            let kind = query.number(2)
            if kind == 1 { continue }
            let event = Delivered(streamID: last, mark: commit)
            pruned.add(event, milliseconds: query.number(5))
            let key = kind == 0 && !query.isNull(4) ? query.text(4) : nil
            if let key { keys[key] = last }
            let type = kind == 0 ? query.text(3) : nil
            for index in consumers.indices where consumers[index].wants(event, type: type, key: key) {
                consumers[index].pruned.add(event.streamID, mark: event.mark)
            }
        }
        return (rows, last)
    }

    private func write() throws {
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
        for (key, id) in keys {
            if stream.keyIndex != .missing {
                try Query.run(
                    db, "DELETE FROM tidemark_keys WHERE stream = ? AND key = ? AND stream_id <= ?", stream.row, key, id)
            }
            try Query.run(
                db,
                """
                INSERT INTO tidemark_pruned_keys (stream, key, stream_id) VALUES (?, ?, ?)
                ON CONFLICT (stream, key) DO UPDATE SET stream_id = max(stream_id, excluded.stream_id)
                """, stream.row, key, id)
        }
        for consumer in consumers where consumer.pruned.count > 0 {
            let sum = Int64(bitPattern: consumer.pruned.sum)
            if let partition = consumer.partition {
                try Query.run(
                    db,
                    """
                    UPDATE tidemark_partitions SET pruned_count = pruned_count + ?4, pruned_sum = ?5
                    WHERE stream = ?1 AND consumer = ?2 AND partition = ?3
                    """, stream.row, consumer.name, partition.number, consumer.pruned.count,
                    try sumBefore(consumer) &+ sum)
            } else {
                try Query.run(
                    db,
                    """
                    UPDATE tidemark_consumers SET pruned_count = pruned_count + ?3, pruned_sum = ?4
                    WHERE stream = ?1 AND name = ?2
                    """, stream.row, consumer.name, consumer.pruned.count, try sumBefore(consumer) &+ sum)
            }
        }
    }

    /// SQLite makes a floating point number of a sum that is too large.
    private func sumBefore(_ consumer: Judged) throws -> Int64 {
        if let partition = consumer.partition {
            return try Query.first(
                db,
                "SELECT pruned_sum FROM tidemark_partitions WHERE stream = ? AND consumer = ? AND partition = ?",
                stream.row, consumer.name, partition.number
            ) { $0.number(0) } ?? 0
        }
        return try Query.first(
            db, "SELECT pruned_sum FROM tidemark_consumers WHERE stream = ? AND name = ?", stream.row, consumer.name
        ) { $0.number(0) } ?? 0
    }

    /// Those who read what was removed can go on no more, and would not be judged rightly if they did.
    func passedOver() -> Set<ConsumerName> {
        guard let last = pruned.last else { return [] }
        return Set(
            consumers.lazy.filter { request.ignoring.contains($0.name) && $0.position < last.streamID }.map(\.name))
    }
}

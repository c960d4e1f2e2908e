import GRDB
public import Tidemark

/// What pruning has left, and what processors keep.
extension SQLiteEventStore {
    public func movedParked(
        of stream: StreamName, by consumer: ConsumerName, after position: StreamID, limit: Int, byteLimit: Int
    ) async throws -> [ParkedEvent] {
        try await inSnapshot { db in
            guard let row = try StreamRow.named(stream, in: db) else { return [] }
            let query = try Query(
                db,
                """
                SELECT stream_id, event_id, type, key, payload, writer, persisted_at, commit_number, metadata, kind,
                    partition, reason, attempts, problem, parked_at, is_retried
                FROM tidemark_parked WHERE stream = ?1 AND consumer = ?2 AND stream_id > ?3 ORDER BY stream_id
                """)
            defer { query.reset() }
            try query.bind(row.row, at: 1)
            try query.bind(consumer.rawValue, at: 2)
            try query.bind(position.rawValue, at: 3)
            var decoder = EventDecoder(db)
            var events: [ParkedEvent] = []
            var bytes = 0
            while events.count < limit, bytes < byteLimit, try query.step() {
                let event = try Self.parkedEvent(query, &decoder)
                bytes += event.event.map { $0.event.payload.count + $0.event.metadataBytes } ?? 0
                events.append(event)
            }
            return events
        }
    }

    public func movedPrunedKeys(of stream: StreamName, after key: String?, limit: Int) async throws -> [PrunedKey] {
        try await inSnapshot { db in
            guard let row = try StreamRow.named(stream, in: db) else { return [] }
            return try Query.all(
                db,
                """
                SELECT key, stream_id FROM tidemark_pruned_keys WHERE stream = ?1 AND (?2 IS NULL OR key > ?2)
                ORDER BY key LIMIT ?3
                """, row.row, key, limit
            ) { PrunedKey($0.text(0), newest: $0.streamID(1)) }
        }
    }

    public func receivePruned(
        _ prefix: PrunedPrefix, in stream: StreamName, after position: StreamID, limit: Int
    ) async throws -> StreamID? {
        try await transact(mayRunHere: false) { db in
            try Schema.requireNewest(db, in: self.path)
            let row = try self.arriving(stream, in: db)
            let whole = try Query.all(
                db,
                """
                SELECT stream_id, commit_number FROM tidemark_events
                WHERE stream = ?1 AND stream_id > ?2 AND stream_id <= ?3
                    AND (kind <> 0 OR stream_id <= ?4 OR type <> '' OR payload IS NOT NULL OR metadata IS NOT NULL)
                ORDER BY stream_id LIMIT ?5
                """, row.row, position, prefix.through, prefix.forgottenThrough, limit
            ) { (id: $0.streamID(0), commit: $0.number(1)) }
            let newest = whole.map(\.commit).max() ?? 0
            if let last = whole.last {
                try Query.run(
                    db,
                    """
                    DELETE FROM tidemark_events
                    WHERE stream = ?1 AND stream_id > ?2 AND stream_id <= ?3 AND (kind <> 0 OR stream_id <= ?4)
                    """, row.row, position, last.id, prefix.forgottenThrough)
                try Query.run(
                    db,
                    """
                    UPDATE tidemark_events SET type = '', payload = NULL, metadata = NULL
                    WHERE stream = ?1 AND stream_id > ?2 AND stream_id <= ?3
                    """, row.row, position, last.id)
            }
            if whole.count == limit {
                try Query.run(
                    db,
                    """
                    UPDATE tidemark_streams SET
                        pruned_newest_commit = max(pruned_newest_commit, ?2), previous_commit = commit_number
                    WHERE stream = ?1
                    """, row.row, newest)
                return whole.last?.id
            }
            try self.keep(prefix, of: row, newestCommit: newest, in: db)
            return nil
        }
    }

    /// The newest event that was pruned has a mark of this file where its id is left, and otherwise keeps the one that it had.
    private func keep(_ prefix: PrunedPrefix, of row: StreamRow, newestCommit: Int64, in db: Database) throws {
        try Query.run(
            db,
            """
            UPDATE tidemark_streams SET
                pruned_through = ?2, pruned_id = ?3,
                pruned_commit = coalesce(
                    (SELECT e.commit_number FROM tidemark_events e WHERE e.stream = ?1 AND e.stream_id = ?3), ?4),
                pruned_count = ?5, pruned_sum = ?6,
                pruned_newest_commit = max(pruned_newest_commit, ?7, coalesce(
                    (SELECT max(e.commit_number) FROM tidemark_events e WHERE e.stream = ?1 AND e.stream_id <= ?2), 0)),
                pruned_at = ?8, forgotten_through = ?9, previous_commit = commit_number
            WHERE stream = ?1
            """, row.row, prefix.through, prefix.last?.streamID, prefix.last?.mark.rawValue, prefix.events.count,
            Int64(bitPattern: prefix.events.sum), newestCommit, prefix.latestMilliseconds, prefix.forgottenThrough)
    }

    public func receivePruned(_ keys: [PrunedKey], in stream: StreamName) async throws {
        try await transact(mayRunHere: false) { db in
            try Schema.requireNewest(db, in: self.path)
            let row = try self.arriving(stream, in: db)
            for key in keys {
                try Query.run(
                    db, "DELETE FROM tidemark_keys WHERE stream = ? AND key = ? AND stream_id <= ?", row.row, key.key,
                    key.newest)
                try Query.run(
                    db,
                    """
                    INSERT INTO tidemark_pruned_keys (stream, key, stream_id) VALUES (?, ?, ?)
                    ON CONFLICT (stream, key) DO UPDATE SET stream_id = excluded.stream_id
                    """, row.row, key.key, key.newest)
            }
        }
    }

    public func receiveParked(
        _ events: [ParkedEvent], of consumer: ConsumerName, in stream: StreamName
    ) async throws {
        let now = configuration.wallClockMilliseconds()
        try await transact(mayRunHere: false) { db in
            try Schema.requireNewest(db, in: self.path)
            let row = try self.arriving(stream, in: db)
            for parked in events {
                let instance = parked.event?.instance ?? parked.externalEvent?.instance
                guard let instance else { continue }
                try MovedRows.makeWriter(instance, of: row, now: now, db)
                let event = parked.event?.event
                try Query.run(
                    db,
                    """
                    INSERT INTO tidemark_parked
                        (stream, consumer, stream_id, partition, kind, event_id, type, key, payload, metadata, writer,
                        persisted_at, commit_number, reason, attempts, problem, parked_at, is_retried)
                    SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, i.writer, ?12, coalesce(
                            (SELECT e.commit_number FROM tidemark_events e WHERE e.stream = ?1 AND e.stream_id = ?3),
                            ?13), ?14, ?15, ?16, ?17, ?18
                    FROM tidemark_instances i WHERE i.stream = ?1 AND i.instance = ?11
                    ON CONFLICT (stream, consumer, stream_id) DO NOTHING
                    """, row.row, consumer, parked.streamID, parked.partition, event == nil ? 2 : 0, event?.id,
                    event?.type, event?.key, event?.payload,
                    try event.flatMap { try MetadataText.text($0.metadata) }, instance,
                    parked.event?.persistedAtMilliseconds ?? parked.externalEvent?.persistedAtMilliseconds,
                    (parked.event?.mark ?? parked.externalEvent?.mark)?.rawValue, parked.reason.rawValue,
                    parked.attempts, parked.problem, parked.parkedAtMilliseconds, parked.isToBeRetried ? 1 : 0)
            }
        }
    }
}

/// What is moved of a stream beside its rows.
enum MovedRows {
    static func consumers(of row: StreamRow, _ db: Database) throws -> [MovedConsumer] {
        let pruned = try Query.all(
            db, "SELECT name, pruned_count, pruned_sum FROM tidemark_consumers WHERE stream = ?", row.row
        ) { (try ConsumerName(validating: $0.text(0)), $0.deliveredSum(1) ?? DeliveredSum()) }
        let prunedOf = Dictionary(uniqueKeysWithValues: pruned)
        let partitions = try partitions(of: row, db)
        return try ConsumerRow.all(of: row, in: db).map { consumer in
            MovedConsumer(
                name: consumer.name, generation: consumer.generation, position: consumer.position,
                delivered: consumer.delivered, passed: consumer.passed, start: consumer.start, filter: consumer.filter,
                pruned: prunedOf[consumer.name] ?? DeliveredSum(), partitions: partitions[consumer.name] ?? [])
        }
    }

    private struct PartitionName: Hashable {
        let consumer: String
        let partition: Int
    }

    private static func partitions(of row: StreamRow, _ db: Database) throws -> [ConsumerName: [MovedPartition]] {
        let counts = try Query.all(
            db, "SELECT consumer, partition, stream_id, attempts FROM tidemark_attempts WHERE stream = ?", row.row
        ) { found in
            (
                name: PartitionName(consumer: found.text(0), partition: Int(found.number(1))),
                id: found.streamID(2), attempts: Int(found.number(3))
            )
        }
        let attempts = Dictionary(grouping: counts, by: \.name)
        let rows = try Query.all(
            db,
            """
            SELECT consumer, partition, hash, claim, position, delivered_count, delivered_sum, passed_id, passed_commit,
                start_after, pruned_count, pruned_sum
            FROM tidemark_partitions WHERE stream = ? ORDER BY consumer, partition
            """, row.row
        ) { found in
            let name = PartitionName(consumer: found.text(0), partition: Int(found.number(1)))
            let partition = MovedPartition(
                partition: name.partition, hash: found.text(2), claim: Int(found.number(3)),
                position: found.streamID(4), delivered: found.deliveredSum(5),
                passed: found.isNull(7)
                    ? nil : Delivered(streamID: found.streamID(7), mark: CommitMark(found.number(8))),
                start: found.streamID(9), pruned: found.deliveredSum(10) ?? DeliveredSum(),
                attempts: Dictionary((attempts[name] ?? []).map { ($0.id, $0.attempts) }) { $1 })
            return (consumer: try ConsumerName(validating: name.consumer), partition: partition)
        }
        return Dictionary(grouping: rows, by: \.consumer).mapValues { $0.map(\.partition) }
    }

    static func insert(
        _ partitions: [MovedPartition], of consumer: ConsumerName, _ row: StreamRow, now: Int64, _ db: Database
    ) throws {
        for partition in partitions {
            try Query.run(
                db,
                """
                INSERT INTO tidemark_partitions
                    (stream, consumer, partition, hash, claim, position, commit_number, delivered_count, delivered_sum,
                    passed_id, passed_commit, updated_at, start_after, pruned_count, pruned_sum)
                VALUES (?1, ?2, ?3, ?4, ?5 + 1 + (random() & 0xfffff), ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
                """, row.row, consumer, partition.partition, partition.hash, partition.claim, partition.position,
                row.commitNumber, partition.delivered?.count,
                partition.delivered.map { Int64(bitPattern: $0.sum) }, partition.passed?.streamID,
                partition.passed?.mark.rawValue, now, partition.start, partition.pruned.count,
                Int64(bitPattern: partition.pruned.sum))
            for (id, attempts) in partition.attempts {
                try Query.run(
                    db,
                    """
                    INSERT INTO tidemark_attempts (stream, consumer, partition, stream_id, attempts)
                    VALUES (?, ?, ?, ?, ?)
                    """, row.row, consumer, partition.partition, id, attempts)
            }
        }
    }

    /// The name of a writer, for rows that name it.
    static func makeWriter(_ instance: InstanceName, of row: StreamRow, now: Int64, _ db: Database) throws {
        try Query.run(
            db,
            """
            INSERT INTO tidemark_instances
                (stream, instance, epoch, nonce, is_member, left_at, position, heartbeat_at)
            VALUES (?1, ?2, 0, random() & 0x7fffffffffffffff, 0, ?3, 0, ?3)
            ON CONFLICT (stream, instance) DO NOTHING
            """, row.row, instance, now)
    }
}

import GRDB
import Tidemark

/// A processor in one transaction.
struct ProcessorRows {
    let processor: ProcessorName
    let stream: StreamRow
    let db: Database
    let now: Int64

    /// - Throws: ``TidemarkError/unknownStream(stream:store:)``.
    init(_ processor: ProcessorName, in db: Database, store: SQLiteEventStore) throws {
        self.processor = processor
        self.db = db
        stream = try store.existing(processor.stream, in: db)
        try stream.requireHere(processor.stream, store.path)
        now = store.configuration.wallClockMilliseconds()
    }

    /// The owner of a partition, its claim and its position; nil where there is no such partition.
    func ownership(of partition: Int) throws -> (claim: Int, owner: Int64?, position: StreamID)? {
        try Query.first(
            db,
            "SELECT claim, owner, position FROM tidemark_partitions WHERE stream = ? AND consumer = ? AND partition = ?",
            stream.row, processor.consumer, partition
        ) { (Int($0.number(0)), $0.isNull(1) ? nil : $0.number(1), $0.streamID(2)) }
    }

    /// Whether the claim is the newest, and the partition not below this place.
    func owns(_ partition: Int, _ claim: Int, from begin: StreamID = 0) throws -> Bool {
        guard let found = try ownership(of: partition) else { return false }
        return found.claim == claim && found.owner != nil && found.position >= begin
    }

    static func isProcessor(_ consumer: ConsumerName, of stream: StreamRow, _ db: Database) throws -> Bool {
        try Query.first(
            db, "SELECT 1 FROM tidemark_partitions WHERE stream = ? AND consumer = ? LIMIT 1", stream.row, consumer
        ) { _ in true } ?? false
    }

    static func isParked(_ id: StreamID, by consumer: ConsumerName, _ stream: StreamRow, _ db: Database) throws -> Bool
    {
        try Query.first(
            db, "SELECT 1 FROM tidemark_parked WHERE stream = ? AND consumer = ? AND stream_id = ?", stream.row,
            consumer, id
        ) { _ in true } ?? false
    }

    // MARK: For people

    /// How many events the consumer has parked, as far as they are counted.
    static func parkedCount(of consumer: ConsumerName, _ stream: StreamRow, _ db: Database) throws -> Int {
        try Query.first(
            db,
            "SELECT count(*) FROM (SELECT 1 FROM tidemark_parked WHERE stream = ? AND consumer = ? LIMIT ?)",
            stream.row, consumer, StreamStatus.ConsumerStatus.mostParked
        ) { Int($0.number(0)) } ?? 0
    }

    /// The partitions of all processors of the stream.
    static func statuses(
        of stream: StreamRow, now: Int64, _ db: Database
    ) throws -> [ConsumerName: [StreamStatus.PartitionStatus]] {
        let rows = try Query.all(
            db,
            """
            SELECT p.consumer, p.partition, p.position, p.owner, o.process_id, p.oldest_id, p.oldest_since
            FROM tidemark_partitions p
            LEFT JOIN tidemark_processes o ON o.stream = p.stream AND o.consumer = p.consumer AND o.process = p.owner
            WHERE p.stream = ? ORDER BY p.consumer, p.partition
            """, stream.row
        ) { row in
            let status = StreamStatus.PartitionStatus(
                partition: Int(row.number(1)), position: row.streamID(2),
                owner: row.isNull(3) ? nil : ProcessorProcess(row.number(3)),
                processID: row.isNull(4) ? nil : Int32(truncatingIfNeeded: row.number(4)),
                oldestHandler: row.isNull(5) ? nil : row.streamID(5),
                handlerMilliseconds: row.isNull(6) ? nil : max(0, now - row.number(6)))
            return (consumer: try ConsumerName(validating: row.text(0)), status: status)
        }
        return Dictionary(grouping: rows, by: \.consumer).mapValues { $0.map(\.status) }
    }

    // MARK: Making and moving

    /// New partitions, which begin where the consumer is. The sum of each begins there too.
    func make(_ partitions: Int, at consumer: ConsumerRow) throws {
        let passed = try stream.lastEvent(through: consumer.position, db)
        for partition in 0..<partitions {
            try Query.run(
                db,
                """
                INSERT INTO tidemark_partitions
                    (stream, consumer, partition, hash, claim, position, commit_number, delivered_count, delivered_sum,
                    passed_id, passed_commit, updated_at, start_after)
                VALUES (?1, ?2, ?3, ?4, random() & 0xfffff, ?5, ?6, 0, 0, ?7, ?8, ?9, ?5)
                """, stream.row, processor.consumer, partition, PartitionHash.name, consumer.position,
                stream.commitNumber, passed?.streamID, passed?.mark.rawValue, now)
        }
    }

    /// To where the consumer was moved. Nothing where it is no processor.
    static func move(_ consumer: ConsumerName, of stream: StreamRow, in db: Database) throws {
        try Query.run(
            db,
            """
            UPDATE tidemark_partitions SET
                claim = claim + 1 + (random() & 0xfffff), owner = NULL, oldest_id = NULL, oldest_since = NULL,
                position = c.position, commit_number = c.commit_number, updated_at = c.updated_at, delivered_count = 0,
                delivered_sum = 0, passed_id = c.passed_id, passed_commit = c.passed_commit, start_after = c.position,
                pruned_count = 0, pruned_sum = 0
            FROM tidemark_consumers c
            WHERE tidemark_partitions.stream = ?1 AND tidemark_partitions.consumer = ?2 AND c.stream = ?1 AND c.name = ?2
            """, stream.row, consumer)
        try Query.run(
            db, "DELETE FROM tidemark_attempts WHERE stream = ? AND consumer = ?", stream.row, consumer)
    }

    /// Stops the processes that have the partitions.
    static func takeClaims(of consumer: ConsumerName, of stream: StreamRow, in db: Database) throws {
        try Query.run(
            db,
            """
            UPDATE tidemark_partitions SET claim = claim + 1 + (random() & 0xfffff), owner = NULL
            WHERE stream = ? AND consumer = ?
            """, stream.row, consumer)
    }

    /// The processes that have the partitions have to claim them again. What is delivered is counted from where they are.
    static func endClaims(of consumer: ConsumerName, of stream: StreamRow, in db: Database) throws {
        try Query.run(
            db,
            """
            UPDATE tidemark_partitions SET
                claim = claim + 1 + (random() & 0xfffff), owner = NULL, start_after = position, delivered_count = 0,
                delivered_sum = 0, pruned_count = 0, pruned_sum = 0
            WHERE stream = ? AND consumer = ?
            """, stream.row, consumer)
    }

    /// With all that it has parked.
    static func delete(_ consumer: ConsumerName, of stream: StreamRow, in db: Database) throws {
        try Query.run(
            db, "DELETE FROM tidemark_partitions WHERE stream = ? AND consumer = ?", stream.row, consumer)
        try Query.run(db, "DELETE FROM tidemark_processes WHERE stream = ? AND consumer = ?", stream.row, consumer)
        try Query.run(db, "DELETE FROM tidemark_attempts WHERE stream = ? AND consumer = ?", stream.row, consumer)
        try Query.run(db, "DELETE FROM tidemark_parked WHERE stream = ? AND consumer = ?", stream.row, consumer)
    }

    // MARK: Checkpoints

    /// Writes what the passage says; whether the claim is the newest, and nothing that was passed before is lost.
    ///
    /// - Throws: ``TidemarkError/databaseWentBackwards(stream:id:problem:)``.
    func pass(_ passage: Passage, partition: Int, claim: Int) throws -> Bool {
        guard try owns(partition, claim, from: passage.begin) else { return false }
        guard passage.position <= stream.sequence else {
            throw TidemarkError.databaseWentBackwards(
                stream: processor.stream, id: passage.position, problem: "its sequence has not come as far")
        }
        let before = passage.parked.isEmpty ? 0 : try position(of: partition)
        // Nothing that was pruned is left to be parked.
        for note in passage.parked { try stream.pruned.require(event: note.id, in: processor.stream) }
        if let passed = passage.passed {
            try passed.require(stream.holds(passed, db), in: processor.stream, of: processor.consumer)
        }
        let moved = try Query.run(
            db,
            """
            UPDATE tidemark_partitions SET
                position = ?4, commit_number = max(commit_number, ?5), delivered_count = ?6, delivered_sum = ?7,
                passed_id = ?8, passed_commit = ?9, updated_at = ?10
            WHERE stream = ?1 AND consumer = ?2 AND partition = ?3 AND position < ?4
            """, stream.row, processor.consumer, partition, passage.position, passage.snapshot?.newestCommit ?? 0,
            passage.delivered?.count, passage.delivered.map { Int64(bitPattern: $0.sum) }, passage.passed?.streamID,
            passage.passed?.mark.rawValue, now)
        // A transaction of a handler may have passed more meanwhile, and parked the same. What it has passed was handled.
        if moved == 0 { return true }
        for note in passage.parked where note.id > before { try park(note, partition: partition) }
        try Query.run(
            db, "DELETE FROM tidemark_attempts WHERE stream = ? AND consumer = ? AND partition = ? AND stream_id <= ?",
            stream.row, processor.consumer, partition, passage.position)
        return true
    }

    /// The checkpoint of a partition that is there.
    func position(of partition: Int) throws -> StreamID {
        try Query.first(
            db, "SELECT position FROM tidemark_partitions WHERE stream = ? AND consumer = ? AND partition = ?",
            stream.row, processor.consumer, partition
        ) { $0.streamID(0) } ?? 0
    }

    func release(_ partition: Int) throws {
        try Query.run(
            db,
            """
            UPDATE tidemark_partitions SET owner = NULL, oldest_id = NULL, oldest_since = NULL
            WHERE stream = ? AND consumer = ? AND partition = ?
            """, stream.row, processor.consumer, partition)
    }

    /// The consumer is where the least of its partitions is.
    func moveConsumer() throws {
        try Query.run(
            db,
            """
            UPDATE tidemark_consumers SET
                position = least.position, commit_number = least.commit_number, updated_at = ?3,
                delivered_count = NULL, delivered_sum = NULL, passed_id = NULL, passed_commit = NULL
            FROM (
                SELECT position, commit_number FROM tidemark_partitions WHERE stream = ?1 AND consumer = ?2
                ORDER BY position, commit_number LIMIT 1
            ) least
            WHERE stream = ?1 AND name = ?2 AND tidemark_consumers.position <> least.position
            """, stream.row, processor.consumer, now)
    }

    /// The copy that stays, whatever becomes of the event.
    private func park(_ note: ParkingNote, partition: Int) throws {
        try Query.run(
            db,
            """
            INSERT INTO tidemark_parked
                (stream, consumer, stream_id, partition, kind, event_id, type, key, payload, writer, persisted_at,
                commit_number, metadata, reason, attempts, problem, parked_at)
            SELECT stream, ?2, stream_id, ?4, kind, event_id, type, key, payload, writer, persisted_at, commit_number,
                metadata, ?5, ?6, ?7, ?8
            FROM tidemark_events WHERE stream = ?1 AND stream_id = ?3 AND kind <> 1
            ON CONFLICT (stream, consumer, stream_id) DO UPDATE SET
                reason = excluded.reason, attempts = excluded.attempts, problem = excluded.problem,
                parked_at = excluded.parked_at
            """, stream.row, processor.consumer, note.id, partition, note.reason.rawValue, note.attempts, note.problem,
            now)
    }

    // MARK: Claims

    /// Nil where the partition is not what was observed.
    func claim(
        _ observed: PartitionObservation, by process: ProcessorProcess, isGone: (String) -> Bool
    ) throws -> ProcessorMachine.Claimed? {
        guard let found = try ownership(of: observed.partition), found.claim == observed.claim,
            found.owner == observed.owner?.rawValue
        else { return nil }
        if let owner = observed.owner, owner != process, try !mayRob(owner, observed.heartbeat, isGone) { return nil }
        try Query.run(
            db,
            """
            UPDATE tidemark_partitions SET
                claim = claim + 1 + (random() & 0xfffff), owner = ?4, oldest_id = NULL, oldest_since = NULL
            WHERE stream = ?1 AND consumer = ?2 AND partition = ?3
            """, stream.row, processor.consumer, observed.partition, process.rawValue)
        let isUnclean = observed.owner != nil && observed.owner != process
        return try claimed(observed.partition, isUnclean: isUnclean)
    }

    private func mayRob(_ owner: ProcessorProcess, _ heartbeat: Int64?, _ isGone: (String) -> Bool) throws -> Bool {
        let found = try Query.first(
            db,
            "SELECT heartbeat, process_file FROM tidemark_processes WHERE stream = ? AND consumer = ? AND process = ?",
            stream.row, processor.consumer, owner.rawValue
        ) { (heartbeat: $0.number(0), file: $0.isNull(1) ? nil : $0.text(1)) }
        guard let found else { return true }
        return heartbeat.map { $0 == found.heartbeat } ?? found.file.map(isGone) ?? false
    }

    private func claimed(_ partition: Int, isUnclean: Bool) throws -> ProcessorMachine.Claimed? {
        let attempts = try Query.all(
            db,
            "SELECT stream_id, attempts FROM tidemark_attempts WHERE stream = ? AND consumer = ? AND partition = ?",
            stream.row, processor.consumer, partition
        ) { ($0.streamID(0), Int($0.number(1))) }
        let claimed = try Query.first(
            db,
            """
            SELECT claim, position, delivered_count, delivered_sum, passed_id, passed_commit
            FROM tidemark_partitions WHERE stream = ? AND consumer = ? AND partition = ?
            """, stream.row, processor.consumer, partition
        ) { row in
            ProcessorMachine.Claimed(
                partition: partition, claim: Int(row.number(0)), position: row.streamID(1),
                delivered: row.deliveredSum(2),
                passed: row.isNull(4) ? nil : Delivered(streamID: row.streamID(4), mark: CommitMark(row.number(5))),
                uncleanThrough: isUnclean ? stream.sequence : nil,
                attempts: Dictionary(uniqueKeysWithValues: attempts), held: try parkedKeys(of: partition))
        }
        guard let claimed else { return nil }
        guard claimed.position <= stream.sequence else {
            throw TidemarkError.databaseWentBackwards(
                stream: processor.stream, id: claimed.position,
                problem: "consumer \(processor.consumer) has come as far, but the sequence only to \(stream.sequence)")
        }
        try stream.pruned.require(claimed.position, in: processor.stream)
        if let passed = claimed.passed {
            try passed.require(stream.holds(passed, db), in: processor.stream, of: processor.consumer)
        }
        return claimed
    }

    private func parkedKeys(of partition: Int) throws -> [[UInt8]: [StreamID]] {
        let rows = try Query.all(
            db,
            """
            SELECT key, stream_id FROM tidemark_parked
            WHERE stream = ? AND consumer = ? AND partition = ? AND key IS NOT NULL ORDER BY stream_id LIMIT 100000
            """, stream.row, processor.consumer, partition
        ) { (Array($0.text(0).utf8), $0.streamID(1)) }
        return Dictionary(grouping: rows, by: \.0).mapValues { $0.map(\.1) }
    }
}

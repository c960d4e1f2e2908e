#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif
import GRDB
import Synchronization
import Tidemark

extension SQLiteEventStore {
    public func claimConsumer(_ request: ConsumerRequest) async throws -> ConsumerClaim {
        try request.requireValid()
        let (name, stream, key) = (request.consumer, request.stream, request.key)
        let now = configuration.wallClockMilliseconds()
        let first = try await firstEvent(of: request.start, in: stream)
        return try await transact { db in
            let row = try self.makeStream(stream, in: db)
            if try ProcessorRows.isProcessor(name, of: row, db) {
                throw TidemarkError.isProcessor(stream: stream, consumer: name)
            }
            if let consumer = try ConsumerRow.named(name, of: row, in: db) {
                try consumer.requireSameDatabase(row, stream, in: db)
                try request.require(stored: consumer.filter)
                // Its own: it has been answered already.
                if consumer.key == key { return consumer.claim(stream) }
                if !request.takingOver, consumer.generation != request.replacing {
                    try self.requireFree(consumer, of: row, stream, in: db)
                }
            } else {
                try Query.run(
                    db,
                    "INSERT INTO tidemark_consumers (stream, name, generation, updated_at, filter) VALUES (?, ?, 0, ?, ?)",
                    row.row, name, now, try FilterText.text(request.filter))
                try self.put(
                    name, of: row, stream, at: request.start, first: first, confirmed: request.confirmed, now: now,
                    in: db)
            }
            try Query.run(
                db,
                """
                UPDATE tidemark_consumers SET
                    generation = generation + 1 + (random() & 0xfffff), claim_key = ?3, holder_process_id = ?4,
                    holder_process_file = ?5
                WHERE stream = ?1 AND name = ?2
                """, row.row, name, key, Int(getpid()), self.processFile.name())
            guard let claimed = try ConsumerRow.named(name, of: row, in: db) else {
                preconditionFailure("a row that was written in this transaction is there")
            }
            return claimed.claim(stream)
        }
    }

    /// The first event of the time that a consumer is to begin at, before any transaction waits for it: what it may begin
    /// after does not change any more. Nil for another start, and where there is none.
    private func firstEvent(of start: ConsumerStart, in stream: StreamName) async throws -> StreamID? {
        guard let time = start.milliseconds else { return nil }
        return try await inSnapshot { db in
            try Query.first(
                db,
                """
                SELECT e.stream_id FROM tidemark_streams s JOIN tidemark_events e ON e.stream = s.stream
                WHERE s.name = ? AND e.kind <> 1 AND e.persisted_at >= ? AND e.stream_id > s.pruned_through
                ORDER BY e.stream_id LIMIT 1
                """, stream, time
            ) { $0.streamID(0) }
        }
    }

    /// Puts a consumer at a place, no higher than everything is finished; returns where that is.
    @discardableResult
    private func put(
        _ name: ConsumerName, of row: StreamRow, _ stream: StreamName, at start: ConsumerStart, first: StreamID?,
        confirmed: Watermark?, now: Int64, in db: Database
    ) throws -> StreamID {
        let least = try row.membership(db).members.values.min()
        var highest = try Self.minimumPersisted(of: row, least: least, db)
        if let confirmed, confirmed.membershipVersion == row.membershipVersion {
            highest = max(highest, min(confirmed.minimum, row.sequence))
        }
        let position = try start.position(
            first: first, highest: highest, in: stream, of: StreamRow.database(of: db))
        try row.pruned.require(start, at: position, in: stream)
        let passed = try row.lastEvent(through: position, db)
        try start.require(last: passed, in: stream)
        try Query.run(
            db,
            """
            UPDATE tidemark_consumers SET
                position = ?3, start_after = ?3, commit_number = ?4, updated_at = ?5, delivered_count = 0,
                delivered_sum = 0, passed_id = ?6, passed_commit = ?7, pruned_count = 0, pruned_sum = 0
            WHERE stream = ?1 AND name = ?2
            """, row.row, name, position, row.commitNumber, now, passed?.streamID, passed?.mark.rawValue)
        return position
    }

    /// Stops the reader that has the name.
    func stopReader(_ name: ConsumerName, of row: StreamRow, in db: Database) throws {
        try Query.run(
            db,
            """
            UPDATE tidemark_consumers SET
                generation = generation + 1 + (random() & 0xfffff), claim_key = NULL, holder_process_id = NULL,
                holder_process_file = NULL
            WHERE stream = ? AND name = ?
            """, row.row, name)
    }

    private func existing(
        _ name: ConsumerName, _ stream: StreamName, in db: Database
    ) throws -> (stream: StreamRow, consumer: ConsumerRow) {
        try Schema.requireNewest(db, in: path)
        let row = try existing(stream, in: db)
        try row.requireHere(stream, path)
        guard let consumer = try ConsumerRow.named(name, of: row, in: db) else {
            throw TidemarkError.unknownConsumer(
                stream: stream, consumer: name, known: try ConsumerRow.all(of: row, in: db).map(\.name))
        }
        return (row, consumer)
    }

    public func changeFilter(of name: ConsumerName, in stream: StreamName, to filter: EventFilter) async throws {
        try filter.require(in: stream, of: name)
        let text = try FilterText.text(filter)
        try await transact { db in
            let row = try self.existing(name, stream, in: db).stream
            try Query.run(
                db,
                """
                UPDATE tidemark_consumers SET
                    filter = ?3, start_after = position, delivered_count = 0, delivered_sum = 0, pruned_count = 0,
                    pruned_sum = 0
                WHERE stream = ?1 AND name = ?2
                """, row.row, name, text)
            try self.stopReader(name, of: row, in: db)
            // A process that runs a processor reads its filter with its next claim.
            try ProcessorRows.endClaims(of: name, of: row, in: db)
        }
    }

    public func deleteConsumer(_ name: ConsumerName, in stream: StreamName, takingOver: Bool) async throws {
        try await transact { db in
            let (row, consumer) = try self.existing(name, stream, in: db)
            if !takingOver { try self.requireFree(consumer, of: row, stream, in: db) }
            try Query.run(db, "DELETE FROM tidemark_consumers WHERE stream = ? AND name = ?", row.row, name)
            try ProcessorRows.delete(name, of: row, in: db)
        }
    }

    /// A process that lives has its claim for as long as it has its store open, and so it has a processor that it runs.
    private func requireFree(
        _ consumer: ConsumerRow, of row: StreamRow, _ stream: StreamName, in db: Database
    ) throws {
        guard let user = try user(of: consumer, of: row, in: db) else { return }
        throw TidemarkError.consumerInUse(
            stream: stream, consumer: consumer.name, by: user.processID.map { "process \($0)" })
    }

    /// The process that lives and reads under the name, or one of those that run the processor; nil where none does.
    private func user(
        of consumer: ConsumerRow, of row: StreamRow, in db: Database
    ) throws -> (processID: Int32?, file: String)? {
        let processes = try Query.all(
            db,
            """
            SELECT process_id, process_file FROM tidemark_processes
            WHERE stream = ? AND consumer = ? AND process_file IS NOT NULL
            """, row.row, consumer.name
        ) { (processID: $0.isNull(0) ? nil : Int32(truncatingIfNeeded: $0.number(0)), file: $0.text(1)) }
        let reader = consumer.processFile.map { (processID: consumer.processID, file: $0) }
        return ((reader.map { [$0] } ?? []) + processes)
            .first { !processFile.isGone($0.file, removes: !configuration.readOnly) }
    }

    public func position(
        of name: ConsumerName, in stream: StreamName, passing id: StreamID
    ) async throws -> ConsumerPosition? {
        try await inSnapshot { db in
            guard let row = try StreamRow.named(stream, in: db) else { return nil }
            try row.requireHere(stream, self.path)
            return try ConsumerRow.place(of: name, row, in: db).map {
                ConsumerPosition(position: $0.position, isParked: try ProcessorRows.isParked(id, by: name, row, db))
            }
        }
    }

    public func verify(_ claim: ConsumerClaim) async throws {
        let generation = try await inSnapshot { db in
            try StreamRow.named(claim.stream, in: db).flatMap {
                try ConsumerRow.generation(of: claim.name, $0, in: db)
            }
        }
        try claim.require(generation: generation)
    }

    public func checkpoint(
        _ claim: ConsumerClaim, from begin: StreamID?, at position: StreamID, snapshot: SnapshotMark,
        delivered: DeliveredSum?, passed: Delivered?
    ) async throws {
        // What was delivered stays delivered, also where the reader was cancelled meanwhile.
        try await transact(mayBeWithdrawn: false) { db in
            try self.checkpoint(
                claim, from: begin, at: position, snapshot: snapshot, delivered: delivered, passed: passed, in: db)
        }
    }

    /// The same in a transaction that has begun.
    func checkpoint(
        _ claim: ConsumerClaim, from begin: StreamID?, at position: StreamID, snapshot: SnapshotMark,
        delivered: DeliveredSum?, passed: Delivered?, in db: Database
    ) throws {
        guard let commitNumber = snapshot.newestCommit else {
            preconditionFailure("a checkpoint of \(claim.name) with the mark of another store: \(snapshot)")
        }
        try Schema.requireNewest(db, in: path)
        guard let row = try StreamRow.named(claim.stream, in: db), position <= row.sequence else {
            throw TidemarkError.databaseWentBackwards(
                stream: claim.stream, id: position, problem: "its sequence has not come as far")
        }
        try row.requireHere(claim.stream, path)
        if let passed { try passed.require(row.holds(passed, db), in: claim.stream, of: claim.name) }
        let place = try ConsumerRow.place(of: claim.name, row, in: db)
        try claim.require(generation: place?.generation)
        if let place { try claim.require(begin: begin, checkpoint: place.position, key: place.key) }
        let passed = try passed ?? row.lastEvent(through: position, db)
        try Query.run(
            db,
            """
            UPDATE tidemark_consumers SET
                position = max(position, ?3), commit_number = max(commit_number, ?4), updated_at = ?5,
                delivered_count = iif(?3 > position, ?6, delivered_count),
                delivered_sum = iif(?3 > position, ?7, delivered_sum),
                passed_id = iif(?3 > position, ?8, passed_id),
                passed_commit = iif(?3 > position, ?9, passed_commit)
            WHERE stream = ?1 AND name = ?2
            """, row.row, claim.name, position, commitNumber, configuration.wallClockMilliseconds(), delivered?.count,
            delivered.map { Int64(bitPattern: $0.sum) }, passed?.streamID, passed?.mark.rawValue)
    }

    public func moveConsumer(
        _ name: ConsumerName, in stream: StreamName, to start: ConsumerStart
    ) async throws -> StreamID {
        let now = configuration.wallClockMilliseconds()
        let first = try await firstEvent(of: start, in: stream)
        return try await transact { db in
            let row = try self.existing(name, stream, in: db).stream
            try self.stopReader(name, of: row, in: db)
            let position = try self.put(
                name, of: row, stream, at: start, first: first, confirmed: nil, now: now, in: db)
            // A processor goes on from there, with new claims.
            try ProcessorRows.move(name, of: row, in: db)
            return position
        }
    }

    /// The consumers of a stream, for people.
    func consumers(of stream: StreamRow, now: Int64, _ db: Database) throws -> [StreamStatus.ConsumerStatus] {
        let partitions = try ProcessorRows.statuses(of: stream, now: now, db)
        return try ConsumerRow.all(of: stream, in: db).map { consumer in
            let user = try user(of: consumer, of: stream, in: db)
            // Clocks are put back: no age is below zero.
            return StreamStatus.ConsumerStatus(
                name: consumer.name, position: consumer.position,
                movedMillisecondsAgo: max(0, now - consumer.updatedAt), isInUse: user != nil,
                processID: user?.processID ?? consumer.processID, start: consumer.start, filter: consumer.filter,
                parked: try ProcessorRows.parkedCount(of: consumer.name, stream, db),
                partitions: partitions[consumer.name] ?? [])
        }
    }
}

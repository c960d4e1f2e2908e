#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif
import GRDB
import Synchronization
import Tidemark

/// A consumer of one stream.
struct ConsumerPlace: Hashable {
    let stream: StreamName
    let consumer: ConsumerName
}

extension SQLiteEventStore {
    public func claimConsumer(
        _ name: ConsumerName, in stream: StreamName, takingOver: Bool, key: Int64
    ) async throws -> ConsumerClaim {
        let now = configuration.wallClockMilliseconds()
        let place = ConsumerPlace(stream: stream, consumer: name)
        let former = claims.withLock { $0[place].flatMap { $0.key == key ? $0.claim : nil } }
        let claim = try await transact { db in
            let row = try self.makeStream(stream, in: db)
            if let consumer = try ConsumerRow.named(name, of: row, in: db) {
                try consumer.requireSameDatabase(row, stream, in: db)
                // Its own: it has been answered already.
                if let former, former.generation == consumer.generation { return former }
                if !takingOver { try self.requireFree(consumer, of: stream) }
            }
            try Query.run(
                db,
                """
                INSERT INTO tidemark_consumers
                    (stream, name, generation, updated_at, holder_process_id, holder_process_file)
                VALUES (?1, ?2, 1 + (random() & 0xfffff), ?3, ?4, ?5)
                ON CONFLICT (stream, name) DO UPDATE SET
                    generation = generation + excluded.generation, holder_process_id = excluded.holder_process_id,
                    holder_process_file = excluded.holder_process_file
                """, row.row, name, now, Int(getpid()), self.processFile.name())
            guard let claimed = try ConsumerRow.named(name, of: row, in: db) else {
                preconditionFailure("a row that was written in this transaction is there")
            }
            return ConsumerClaim(
                stream: stream, name: name, generation: claimed.generation, position: claimed.position,
                delivered: claimed.delivered, passed: claimed.passed)
        }
        claims.withLock { $0[place] = (key, claim) }
        return claim
    }

    /// A process that lives has its claim for as long as it has its store open.
    private func requireFree(_ consumer: ConsumerRow, of stream: StreamName) throws {
        guard isInUse(consumer) else { return }
        throw TidemarkError.consumerInUse(
            stream: stream, consumer: consumer.name, by: consumer.processID.map { "process \($0)" })
    }

    private func isInUse(_ consumer: ConsumerRow) -> Bool {
        guard let file = consumer.processFile else { return false }
        return !processFile.isGone(file, removes: !configuration.readOnly)
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
        _ claim: ConsumerClaim, at position: StreamID, snapshot: SnapshotMark, delivered: DeliveredSum?,
        passed: Delivered?
    ) async throws {
        guard let commitNumber = snapshot.newestCommit else {
            preconditionFailure("a checkpoint of \(claim.name) with the mark of another store: \(snapshot)")
        }
        let now = configuration.wallClockMilliseconds()
        // What was delivered stays delivered, whoever has cancelled the reader meanwhile.
        try await transact(mayBeWithdrawn: false) { db in
            try Schema.requireNewest(db, in: self.path)
            guard let row = try StreamRow.named(claim.stream, in: db), position <= row.sequence else {
                throw TidemarkError.databaseWentBackwards(
                    stream: claim.stream, id: position, problem: "its sequence has not come as far")
            }
            try row.requireHere(claim.stream, self.path)
            if let passed { try passed.require(row.holds(passed, db), in: claim.stream, of: claim.name) }
            try claim.require(generation: ConsumerRow.generation(of: claim.name, row, in: db))
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
                """, row.row, claim.name, position, commitNumber, now, delivered?.count,
                delivered.map { Int64(bitPattern: $0.sum) }, passed?.streamID, passed?.mark.rawValue)
        }
    }

    public func moveConsumer(
        _ name: ConsumerName, in stream: StreamName, to start: ConsumerStart
    ) async throws -> StreamID {
        let now = configuration.wallClockMilliseconds()
        return try await transact { db in
            try Schema.requireNewest(db, in: self.path)
            let row = try self.existing(stream, in: db)
            try row.requireHere(stream, self.path)
            guard try ConsumerRow.named(name, of: row, in: db) != nil else {
                throw TidemarkError.unknownConsumer(
                    stream: stream, consumer: name, known: try ConsumerRow.all(of: row, in: db).map(\.name))
            }
            let least = try row.membership(db).members.values.min()
            let highest = try Self.minimumPersisted(of: row, least: least, db)
            let position: StreamID =
                switch start {
                case .beginning: 0
                case .end: highest
                case .after(let id): id
                }
            guard (0...highest).contains(position) else {
                throw TidemarkError.notReached(stream: stream, id: position, highest: highest)
            }
            let passed = try row.lastEvent(through: position, db)
            // From the beginning on it is known what is delivered.
            let delivered = position == 0 ? DeliveredSum() : nil
            try Query.run(
                db,
                """
                UPDATE tidemark_consumers SET
                    generation = generation + 1 + (random() & 0xfffff), position = ?3, commit_number = ?4,
                    updated_at = ?5, delivered_count = ?6, delivered_sum = ?7, passed_id = ?8, passed_commit = ?9,
                    holder_process_id = NULL, holder_process_file = NULL
                WHERE stream = ?1 AND name = ?2
                """, row.row, name, position, row.commitNumber, now, delivered?.count,
                delivered.map { Int64(bitPattern: $0.sum) }, passed?.streamID, passed?.mark.rawValue)
            return position
        }
    }

    /// The consumers of a stream, for people.
    func consumers(of stream: StreamRow, now: Int64, _ db: Database) throws -> [StreamStatus.ConsumerStatus] {
        try ConsumerRow.all(of: stream, in: db).map { consumer in
            // Clocks are put back: no age is below zero.
            StreamStatus.ConsumerStatus(
                name: consumer.name, position: consumer.position,
                movedMillisecondsAgo: max(0, now - consumer.updatedAt), isInUse: isInUse(consumer),
                processID: consumer.processID)
        }
    }
}

import GRDB
import Tidemark

extension SQLiteEventStore {
    /// - Throws: ``TidemarkError/unknownStream(stream:store:)`` while no writer has ever joined the stream.
    public func claimConsumer(_ name: ConsumerName, in stream: StreamName) async throws -> ConsumerClaim {
        let now = configuration.wallClockMilliseconds()
        return try await transact { db in
            let row = try self.existing(stream, in: db)
            try Query.run(
                db,
                """
                INSERT INTO tidemark_consumers (stream, name, generation, updated_at) VALUES (?, ?, 1, ?)
                ON CONFLICT (stream, name) DO UPDATE SET
                    generation = generation + 1 + (random() & 0xfffff), updated_at = excluded.updated_at
                """, row.row, name, now)
            let claim = try Query.first(
                db,
                """
                SELECT generation, position, delivered_count, delivered_sum FROM tidemark_consumers
                WHERE stream = ? AND name = ?
                """, row.row, name
            ) { claimed in
                ConsumerClaim(
                    stream: stream, name: name, generation: Int(claimed.number(0)), position: claimed.streamID(1),
                    delivered: claimed.deliveredSum(2))
            }
            guard let claim else { preconditionFailure("a row that was written in this transaction is there") }
            return claim
        }
    }

    public func verify(_ claim: ConsumerClaim) async throws {
        let isNewest = try await inSnapshot { db in
            try Query.first(
                db,
                """
                SELECT 1 FROM tidemark_streams s JOIN tidemark_consumers c ON c.stream = s.stream
                WHERE s.name = ? AND c.name = ? AND c.generation = ?
                """, claim.stream, claim.name, claim.generation
            ) { _ in true } ?? false
        }
        if !isNewest { throw TidemarkError.consumerTaken(stream: claim.stream, consumer: claim.name) }
    }

    public func checkpoint(
        _ claim: ConsumerClaim, at position: StreamID, commitNumber: Int64, delivered: DeliveredSum?
    ) async throws {
        let now = configuration.wallClockMilliseconds()
        try await transact { db in
            let row = try self.existing(claim.stream, in: db)
            let moved = try Query.run(
                db,
                """
                UPDATE tidemark_consumers SET
                    position = max(position, ?4), commit_number = max(commit_number, ?5), updated_at = ?6,
                    delivered_count = iif(?4 > position, ?7, delivered_count),
                    delivered_sum = iif(?4 > position, ?8, delivered_sum)
                WHERE stream = ?1 AND name = ?2 AND generation = ?3
                """, row.row, claim.name, claim.generation, position, commitNumber, now, delivered?.count,
                delivered.map { Int64(bitPattern: $0.sum) })
            if moved == 0 { throw TidemarkError.consumerTaken(stream: claim.stream, consumer: claim.name) }
        }
    }
}

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif
public import Tidemark

extension PostgreSQLEventStore {
    /// How many claims may come between a look at the newest and the claim that names it.
    private static let mostClaimsBetween = 5

    public func claimConsumer(
        _ name: ConsumerName, in stream: StreamName, takingOver: Bool, key: Int64
    ) async throws -> ConsumerClaim {
        let subject = CallSubject(stream, consumer: name)
        var attempts = 0
        while true {
            attempts += 1
            let newest = try await newestClaim(subject, name)
            do {
                return try await claim(subject, name, replacing: newest, takingOver: takingOver, key: key)
            } catch TidemarkError.consumerTaken where attempts < Self.mostClaimsBetween {
                continue
            }
        }
    }

    private func newestClaim(_ subject: CallSubject, _ name: ConsumerName) async throws -> Int64 {
        let sql = "SELECT \(namespace.function("newest_claim_1"))($1, $2)"
        return try await inSnapshot(subject) { session in
            try session.query(sql, [.text(subject.stream.rawValue), .text(name.rawValue)]).int64(0, 0)
        }
    }

    private func claim(
        _ subject: CallSubject, _ name: ConsumerName, replacing newest: Int64, takingOver: Bool, key: Int64
    ) async throws -> ConsumerClaim {
        try await exclude(
            subject,
            """
            SELECT generation, position, delivered_count, delivered_sum, passed_id, passed_mark
            FROM \(namespace.function("claim_consumer_1"))($1, $2, $3, $4, $5, $6, $7)
            """,
            [
                .text(subject.stream.rawValue), .text(name.rawValue), .int64(newest), .int64(key), .bool(takingOver),
                .int32(getpid()), .int64(lifeKey),
            ]
        ) { rows in
            ConsumerClaim(
                stream: subject.stream, name: name, generation: Int(try rows.int64(0, 0)),
                position: StreamID(try rows.int64(0, 1)), delivered: try rows.deliveredSum(0, 2),
                passed: try rows.passed(0, 4))
        }
    }

    public func verify(_ claim: ConsumerClaim) async throws {
        let sql = """
            SELECT c.generation FROM \(namespace.quoted).consumers c
            JOIN \(namespace.quoted).streams s ON s.stream = c.stream WHERE s.name = $1 AND c.name = $2
            """
        let generation = try await inSnapshot(CallSubject(claim.stream, consumer: claim.name)) { session in
            let rows = try session.query(sql, [.text(claim.stream.rawValue), .text(claim.name.rawValue)])
            return rows.count == 0 ? nil : Int(try rows.int64(0, 0))
        }
        try claim.require(generation: generation)
    }

    public func checkpoint(
        _ claim: ConsumerClaim, at position: StreamID, snapshot: SnapshotMark, delivered: DeliveredSum?,
        passed: Delivered?
    ) async throws {
        try await exclude(
            CallSubject(claim.stream, consumer: claim.name),
            "SELECT \(namespace.function("checkpoint_1"))($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            [
                .text(claim.stream.rawValue), .text(claim.name.rawValue), .int64(Int64(claim.generation)),
                .int64(position.rawValue), .bytes(snapshot.bytes), .int64(delivered?.count),
                .int64(delivered.map { Int64(bitPattern: $0.sum) }), .int64(passed?.streamID.rawValue),
                .int64(passed?.mark.rawValue),
            ]
        ) { _ in }
    }

    public func moveConsumer(
        _ name: ConsumerName, in stream: StreamName, to start: ConsumerStart
    ) async throws -> StreamID {
        let target: Int64? =
            switch start {
            case .beginning: 0
            case .end: nil
            case .after(let id): id.rawValue
            }
        return try await exclude(
            CallSubject(stream, consumer: name), "SELECT \(namespace.function("move_consumer_1"))($1, $2, $3)",
            [.text(stream.rawValue), .text(name.rawValue), .int64(target)]
        ) { StreamID(try $0.int64(0, 0)) }
    }
}

extension PostgresRows {
    /// From two columns, of which the first is null when it was not kept.
    func deliveredSum(_ row: Int, _ column: Int) throws -> DeliveredSum? {
        guard let count = try int64IfAny(row, column) else { return nil }
        return DeliveredSum(count: count, sum: UInt64(bitPattern: try int64(row, column + 1)))
    }

    /// From two columns, an ID and its mark, which are null where there is none.
    func passed(_ row: Int, _ column: Int) throws -> Delivered? {
        guard let id = try int64IfAny(row, column) else { return nil }
        return Delivered(streamID: StreamID(id), mark: CommitMark(try int64(row, column + 1)))
    }
}

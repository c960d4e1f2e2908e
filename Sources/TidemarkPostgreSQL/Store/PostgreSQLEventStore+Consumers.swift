#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif
public import Tidemark

extension PostgreSQLEventStore {
    /// How many claims may come between a look at the newest and the claim that names it.
    private static let mostClaimsBetween = 5

    public func claimConsumer(_ request: ConsumerRequest) async throws -> ConsumerClaim {
        try request.requireValid()
        let first = try await firstEvent(of: request.start, in: request.stream)
        var attempts = 0
        while true {
            attempts += 1
            let newest = try await newestClaim(
                CallSubject(request.stream, consumer: request.consumer), request.consumer)
            do {
                return try await claim(request, replacing: newest, first: first)
            } catch TidemarkError.consumerTaken where attempts < Self.mostClaimsBetween {
                continue
            }
        }
    }

    /// The first event of the time that a consumer is to begin at: what it may begin after does not change any more. Nil for
    /// another start, and where there is none.
    private func firstEvent(of start: ConsumerStart, in stream: StreamName) async throws -> StreamID? {
        guard let time = start.milliseconds else { return nil }
        try await pruned(of: stream)?.require(start, at: StreamID(.max), in: stream)
        // Rounded down to the millisecond, as the events' times are shown.
        let sql = """
            SELECT e.stream_id FROM \(namespace.quoted).events e
            WHERE e.stream = (SELECT s.stream FROM \(namespace.quoted).streams s WHERE s.name = $1) AND e.kind <> 1
                AND e.stream_id > (SELECT s.pruned_through FROM \(namespace.quoted).streams s WHERE s.name = $1)
                AND floor(extract(epoch FROM e.persisted_at) * 1000) >= $2::bigint
            ORDER BY e.stream_id LIMIT 1
            """
        return try await inSnapshot(CallSubject(stream)) { session in
            let rows = try session.query(sql, [.text(stream.rawValue), .int64(time)])
            return rows.count == 0 ? nil : StreamID(try rows.int64(0, 0))
        }
    }

    /// The five arguments of `put_consumer_1` that say where a consumer goes.
    private static func target(_ start: ConsumerStart, first: StreamID?) -> [PostgresValue] {
        let target = start.target(first: first)
        var place: EventPlace?
        if case .afterPlace(let kept) = start { place = kept }
        return [
            .int64(target.id.rawValue), .bool(target.isBounded), .int64(place?.database.rawValue),
            .int64(place?.mark?.rawValue), .int64(place?.era?.rawValue),
        ]
    }

    private func newestClaim(_ subject: CallSubject, _ name: ConsumerName) async throws -> Int64 {
        let sql = "SELECT \(namespace.function("newest_claim_1"))($1, $2)"
        return try await inSnapshot(subject) { session in
            try session.query(sql, [.text(subject.stream.rawValue), .text(name.rawValue)]).int64(0, 0)
        }
    }

    private func claim(
        _ request: ConsumerRequest, replacing newest: Int64, first: StreamID?
    ) async throws -> ConsumerClaim {
        var subject = CallSubject(request.stream, consumer: request.consumer)
        subject.start = request.start
        // Its newest claim is still that one when it is taken, or the function refuses.
        let takesOver = request.takingOver || request.replacing.map(Int64.init) == newest
        let parameters: [PostgresValue] = [
            .text(request.stream.rawValue), .text(request.consumer.rawValue), .int64(newest), .int64(request.key),
            .bool(takesOver), .int32(getpid()), .int64(lifeKey), .text(try FilterText.text(request.filter)),
        ]
        return try await exclude(
            subject,
            """
            SELECT generation, position, delivered_count, delivered_sum, passed_id, passed_mark
            FROM \(namespace.function("claim_consumer_1"))(
                $1, $2, $3, $4, $5, $6, $7, $8::text, $9, $10, $11, $12, $13, $14, $15)
            """,
            parameters + Self.target(request.start, first: first)
                + [
                    .int64(request.confirmed?.minimum.rawValue),
                    .int64(request.confirmed.map { Int64($0.membershipVersion) }),
                ]
        ) { rows in
            ConsumerClaim(
                stream: request.stream, name: request.consumer, generation: Int(try rows.int64(0, 0)),
                position: StreamID(try rows.int64(0, 1)), delivered: try rows.deliveredSum(0, 2),
                passed: try rows.passed(0, 4), key: request.key, filter: request.filter)
        }
    }

    public func position(
        of name: ConsumerName, in stream: StreamName, passing id: StreamID
    ) async throws -> ConsumerPosition? {
        let sql = """
            SELECT c.position, s.moved_to, s.arriving_from, EXISTS (
                SELECT FROM \(namespace.quoted).parked k
                WHERE k.stream = s.stream AND k.consumer = c.name AND k.stream_id = $3), \(namespace.quoted).eras_1(s.stream)
            FROM \(namespace.quoted).streams s
            LEFT JOIN \(namespace.quoted).consumers c ON c.stream = s.stream AND c.name = $2 WHERE s.name = $1
            """
        return try await inSnapshot(CallSubject(stream, consumer: name)) { session in
            let rows = try session.query(sql, [.text(stream.rawValue), .text(name.rawValue), .int64(id.rawValue)])
            if rows.count == 0 { return nil }
            try StreamElsewhere.check(rows, 0, column: 1)
            let isParked = try rows.bool(0, 3)
            let eras = try MembersText.eras(rows.text(0, 4))
            return try rows.int64IfAny(0, 0).map {
                ConsumerPosition(position: StreamID($0), isParked: isParked, eras: eras)
            }
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
        _ claim: ConsumerClaim, from begin: StreamID?, at position: StreamID, snapshot: SnapshotMark,
        delivered: DeliveredSum?, passed: Delivered?
    ) async throws {
        var subject = CallSubject(claim.stream, consumer: claim.name)
        subject.begin = begin
        // A caller that demands where the checkpoint is must not meet an earlier call of its own whose answer was lost.
        try await exclude(
            subject,
            "SELECT \(namespace.function("checkpoint_1"))($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            [
                .text(claim.stream.rawValue), .text(claim.name.rawValue), .int64(Int64(claim.generation)),
                .int64(position.rawValue), .bytes(snapshot.bytes), .int64(delivered?.count),
                .int64(delivered.map { Int64(bitPattern: $0.sum) }), .int64(passed?.streamID.rawValue),
                .int64(passed?.mark.rawValue), .int64(begin?.rawValue), .int64(claim.key),
            ], begin == nil ? .always : .onlyIfUndone
        ) { _ in }
    }

    public func moveConsumer(
        _ name: ConsumerName, in stream: StreamName, to start: ConsumerStart
    ) async throws -> StreamID {
        let first = try await firstEvent(of: start, in: stream)
        var subject = CallSubject(stream, consumer: name)
        subject.start = start
        return try await exclude(
            subject, "SELECT \(namespace.function("move_consumer_1"))($1, $2, $3, $4, $5, $6, $7)",
            [.text(stream.rawValue), .text(name.rawValue)] + Self.target(start, first: first)
        ) { StreamID(try $0.int64(0, 0)) }
    }

    public func changeFilter(of name: ConsumerName, in stream: StreamName, to filter: EventFilter) async throws {
        try filter.require(in: stream, of: name)
        try await exclude(
            CallSubject(stream, consumer: name),
            "SELECT \(namespace.function("change_filter_1"))($1, $2, $3::text)",
            [.text(stream.rawValue), .text(name.rawValue), .text(try FilterText.text(filter))]
        ) { _ in }
    }

    public func deleteConsumer(_ name: ConsumerName, in stream: StreamName, takingOver: Bool) async throws {
        // Where the answer was lost, a second call would find nothing, or a consumer that was made since.
        try await exclude(
            CallSubject(stream, consumer: name), "SELECT \(namespace.function("delete_consumer_1"))($1, $2, $3)",
            [.text(stream.rawValue), .text(name.rawValue), .bool(takingOver)], .onlyIfUndone
        ) { _ in }
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

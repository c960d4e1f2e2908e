public import Tidemark

/// It takes the rights of the tables' owner. PostgreSQL keeps house by itself: what is removed is room for new rows after a
/// vacuum.
extension PostgreSQLEventStore: PrunableStore {
    public func end(of extent: PruneExtent, in stream: StreamName) async throws -> StreamID {
        let name = namespace.quoted
        let header = StreamHeader.statement(namespace, stream)
        let store = description
        return try await inSnapshot(CallSubject(stream)) { session in
            guard let found = try StreamHeader(session.query(header.sql, header.parameters)) else {
                throw TidemarkError.unknownStream(stream: stream, store: store)
            }
            let rows = "\(name).events e WHERE e.stream = $1 AND e.stream_id > $2 AND e.kind <> 1"
            let ofStream: [PostgresValue] = [.int64(found.stream), .int64(found.pruned.through.rawValue)]
            switch extent {
            case .through(let id): return id
            case .before:
                // Rounded down to the millisecond, as the events' times are shown.
                let first = try session.query(
                    """
                    SELECT e.stream_id FROM \(rows) AND floor(extract(epoch FROM e.persisted_at) * 1000) >= $3::bigint
                    ORDER BY e.stream_id LIMIT 1
                    """, ofStream + [.int64(extent.milliseconds)])
                return first.count == 0 ? found.newest?.streamID ?? 0 : StreamID(try first.int64(0, 0) - 1)
            case .keeping(let count):
                let last = try session.query(
                    "SELECT e.stream_id FROM \(rows) ORDER BY e.stream_id DESC LIMIT 1 OFFSET $3",
                    ofStream + [.int64(Int64(max(count, 0)))])
                return last.count == 0 ? 0 : StreamID(try last.int64(0, 0))
            }
        }
    }

    public func prune(_ request: PruneRequest) async throws -> PruneStep {
        let (namespace, limit) = (namespace, lockLimitMilliseconds)
        return try await inSnapshot(CallSubject(request.stream)) { session in
            try session.transaction { session in
                var transaction = try PruneTransaction(session, namespace, request, limit)
                return try transaction.run()
            }
        }
    }

    public func pruned(of stream: StreamName) async throws -> PrunedPrefix? {
        let sql = "SELECT \(StreamHeader.prunedColumns) FROM \(namespace.quoted).streams s WHERE s.name = $1"
        return try await inSnapshot(CallSubject(stream)) { session in
            let rows = try session.query(sql, [.text(stream.rawValue)])
            return rows.count == 0 ? nil : try PrunedPrefix(rows, 0, column: 0)
        }
    }
}

/// Removes the beginning of a stream, in one transaction. Each statement sees what was committed before it, and the first one
/// takes the lock.
private struct PruneTransaction {
    private let session: PostgresSession
    private let namespace: PostgresNamespace
    private let request: PruneRequest
    private let stream: Int64
    private var tally: PruneTally

    init(
        _ session: PostgresSession, _ namespace: PostgresNamespace, _ request: PruneRequest, _ limit: PostgresValue
    ) throws {
        (self.session, self.namespace, self.request) = (session, namespace, request)
        let name = namespace.quoted
        stream = try session.query(
            "SELECT \(namespace.function("begin_prune_1"))($1, $2)::bigint", [.text(request.stream.rawValue), limit]
        ).int64(0, 0)
        let found = try session.query(
            """
            SELECT coalesce(pg_sequence_last_value(s.sequence), 0), \(name).newest_row_1(s.stream),
                \(StreamHeader.prunedColumns)
            FROM \(name).streams s WHERE s.stream = $1
            """, [.int64(stream)])
        tally = try PruneTally(
            request, PrunedPrefix(found, 0, column: 2), Self.consumers(session, name, stream))
        let members = try session.query(
            "SELECT i.instance, i.epoch, i.position FROM \(name).instances i WHERE i.stream = $1 AND i.is_member",
            [.int64(stream)])
        let positions = try (0..<members.count).map { row in
            (
                Writer(try InstanceName(validating: members.text(row, 0)), epoch: Int(try members.int64(row, 1))),
                StreamID(try members.int64(row, 2))
            )
        }
        try tally.requireFree(
            members: Dictionary(uniqueKeysWithValues: positions), sequence: StreamID(try found.int64(0, 0)),
            newestRow: StreamID(try found.int64(0, 1)))
    }

    private static func consumers(
        _ session: PostgresSession, _ name: String, _ stream: Int64
    ) throws -> [PruneTally.Consumer] {
        let rows = try session.query(
            """
            SELECT c.name, c.filter, p.partition::bigint, count(p.partition) OVER (PARTITION BY c.name),
                coalesce(p.start_after, c.start_after), coalesce(p.position, c.position),
                coalesce(p.pruned_count, c.pruned_count), coalesce(p.pruned_sum, c.pruned_sum)
            FROM \(name).consumers c
            LEFT JOIN \(name).partitions p ON p.stream = c.stream AND p.consumer = c.name
            WHERE c.stream = $1
            """, [.int64(stream)])
        return try (0..<rows.count).map { row in
            let count = Int(try rows.int64(row, 3))
            return PruneTally.Consumer(
                name: try ConsumerName(validating: rows.text(row, 0)),
                partition: try rows.int64IfAny(row, 2).map { (Int($0), count) },
                start: StreamID(try rows.int64(row, 4)), position: StreamID(try rows.int64(row, 5)),
                filter: try FilterText.filter(rows.textIfAny(row, 1)),
                pruned: try rows.deliveredSum(row, 6) ?? DeliveredSum())
        }
    }

    mutating func run() throws -> PruneStep {
        if tally.isDone { return PruneStep(events: 0, through: tally.pruned.through, isDone: true) }
        try look()
        let (end, step) = tally.end()
        let pruned = tally.pruned
        let changed = tally.consumers.filter(\.hasChanged)
        let keys = tally.keys.sorted { $0.value < $1.value }
        let parameters: [PostgresValue] = [
            .int32(Int32(truncatingIfNeeded: stream)), .int64(tally.start.rawValue), .int64(end.rawValue),
            .bool(request.forgetsIDs),
            .int64(pruned.through.rawValue), .int64(pruned.last?.streamID.rawValue),
            .int64(pruned.last?.mark.rawValue), .int64(pruned.events.count),
            .int64(Int64(bitPattern: pruned.events.sum)), .int64(pruned.latestMilliseconds),
            .int64(pruned.forgottenThrough.rawValue), .texts(changed.map(\.name.rawValue)),
            .int64s(changed.map { Int64($0.partition?.number ?? -1) }), .int64s(changed.map(\.pruned.count)),
            .int64s(changed.map { Int64(bitPattern: $0.pruned.sum) }),
            .texts(keys.map { String(decoding: $0.key, as: UTF8.self) }), .int64s(keys.map(\.value.rawValue)),
            .texts(tally.passedOver.map(\.rawValue)),
        ]
        let places = (1...parameters.count).map { "$\($0)" }.joined(separator: ", ")
        _ = try session.query("SELECT \(namespace.function("end_prune_1"))(\(places))", parameters)
        return step
    }

    private mutating func look() throws {
        let rows = try session.query(
            """
            SELECT e.stream_id, e.mark, e.kind::bigint, e.type, e.key,
                floor(extract(epoch FROM e.persisted_at) * 1000)::bigint
            FROM \(namespace.quoted).events e
            WHERE e.stream = $1 AND e.stream_id > $2 AND e.stream_id <= $3 ORDER BY e.stream_id LIMIT $4
            """,
            [
                .int64(stream), .int64(tally.start.rawValue), .int64(request.through.rawValue),
                .int64(Int64(request.limit)),
            ])
        for row in 0..<rows.count {
            tally.row(
                StreamID(try rows.int64(row, 0)), mark: CommitMark(try rows.int64(row, 1)),
                kind: try rows.int64(row, 2), type: try rows.textIfAny(row, 3), key: try rows.textIfAny(row, 4),
                milliseconds: try rows.int64(row, 5))
        }
    }
}

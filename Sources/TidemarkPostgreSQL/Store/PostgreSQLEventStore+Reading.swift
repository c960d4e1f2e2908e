public import Tidemark

extension PostgreSQLEventStore {
    public func snapshot(of stream: StreamName, _ request: SnapshotRequest) async throws -> Snapshot? {
        guard let batch = try await batch(of: stream, request) else { return nil }
        guard var rows = batch.rows else { return batch.header.snapshot([], [], isTruncated: false) }
        var events: [PersistedEvent] = []
        events.reserveCapacity(batch.count)
        var externalEvents: [ExternalEvent] = []
        for row in 0..<batch.count {
            if try rows.isExternal(row) {
                externalEvents.append(try rows.externalEvent(row))
            } else {
                events.append(try rows.event(row))
            }
        }
        return batch.header.snapshot(events, externalEvents, isTruncated: batch.isTruncated, passed: batch.passed)
    }

    /// The events lie in the memory of libpq, and are shown on the caller's own thread.
    public func rawSnapshot<Result: Sendable>(
        of stream: StreamName, _ request: SnapshotRequest, into initial: Result,
        accepting: @Sendable (Snapshot) -> Bool, _ visit: @Sendable (inout Result, RawEvent) throws -> Void
    ) async throws -> RawSnapshot<Result>? {
        guard let batch = try await batch(of: stream, request) else { return nil }
        var result = initial
        guard var rows = batch.rows, accepting(batch.header.snapshot([], [], isTruncated: false)) else {
            return RawSnapshot(
                snapshot: batch.header.snapshot([], [], isTruncated: false), last: nil, delivered: DeliveredSum(),
                result: result)
        }
        var delivered = DeliveredSum()
        for row in 0..<batch.count {
            try rows.withRaw(row) { event in
                delivered.add(event.streamID, mark: event.mark)
                try visit(&result, event)
            }
        }
        let passed = try batch.passed ?? (batch.count == 0 ? nil : rows.delivered(batch.count - 1))
        return RawSnapshot(
            snapshot: batch.header.snapshot([], [], isTruncated: batch.isTruncated, passed: passed), last: passed,
            delivered: delivered, result: result)
    }

    /// What one snapshot gave.
    private struct Batch: Sendable {
        let header: StreamHeader
        /// Nil where the snapshot is not the one that was asked for.
        var rows: EventRows?
        /// How many of the rows are delivered.
        var count = 0
        var isTruncated = false
        /// The last event that is passed, where a filter may have left it out.
        var passed: Delivered?
    }

    private func batch(of stream: StreamName, _ request: SnapshotRequest) async throws -> Batch? {
        let (namespace, names) = (namespace, names)
        let isFiltered = request.filter != .all
        let header = StreamHeader.statement(
            namespace, stream, delivered: request.delivered, consumer: request.claim?.consumer)
        let passed = isFiltered ? [passedStatement(stream, request)] : []
        let events = [false, true].map { eventsStatement(stream, request, sumsUp: $0) }
        return try await inSnapshot(CallSubject(stream, consumer: request.claim?.consumer)) { session in
            for (attempt, events) in events.enumerated() {
                let answers = try StreamHeader.read(session, [header, events] + passed)
                guard let header = try StreamHeader(answers[0]) else { return nil }
                if header.membership.version == request.membershipVersion {
                    try header.pruned.require(request.after, in: stream)
                }
                guard header.deliveredIsThere, header.membership.version == request.membershipVersion,
                    header.consumerGeneration == request.claim?.generation
                else { return Batch(header: header) }
                let rows = try EventRows(answers[1], names, session, namespace)
                let (count, isTruncated) = try rows.cut(limit: request.limit, byteLimit: request.byteLimit)
                // The first of them is too large to come along with as many as were asked for.
                if count == 0, rows.count > 0, attempt == 0 { continue }
                return Batch(
                    header: header, rows: rows, count: count, isTruncated: isTruncated,
                    passed: isFiltered && !isTruncated ? try Self.passed(answers[2]) : nil)
            }
            return nil
        }
    }

    /// The events that were asked for, and one more where a limit cuts them off. Without members nobody can commit: what is
    /// there is all there will ever be.
    ///
    /// A batch of large events does not fill the memory: the server leaves out the payload of an event of which as many as
    /// were asked for would be above the limit, and the batch ends before it.
    ///
    /// - Parameter sumsUp: all payloads are sent, and the server sums up their lengths, which takes it several times as long:
    ///   a row is sent where the row before it did not exceed the limit yet, so that one that is cut off is seen.
    private func eventsStatement(
        _ stream: StreamName, _ request: SnapshotRequest, sumsUp: Bool
    ) -> PostgresStatement {
        let name = namespace.quoted
        var filter = ""
        var parameters: [PostgresValue] = []
        if request.filter != .all {
            filter = """
                    AND e.kind = 0 AND ($8::text[] IS NULL OR e.type = ANY ($8)) AND ($9::text[] IS NULL OR e.key = ANY ($9))
                    AND ($10::text IS NULL OR starts_with(e.key, $10))
                """
            func texts(_ set: Set<[UInt8]>?) -> PostgresValue {
                set.map { .texts($0.map { String(decoding: $0, as: UTF8.self) }) } ?? .null
            }
            parameters = [
                texts(request.filter.types), texts(request.filter.keys),
                .text(request.filter.keyPrefix.map { String(decoding: $0, as: UTF8.self) }),
            ]
        }
        let size = "(octet_length(e.payload) + coalesce(octet_length(e.metadata), 0))"
        let rows = """
            \(name).events e
            WHERE e.stream = (SELECT s.stream FROM \(name).streams s WHERE s.name = $1 AND s.membership_version = $2)
                AND e.stream_id > $3 AND e.stream_id <= least($7::bigint, \(Self.reached(name, "$4")))
                AND e.kind <> 1 \(filter)
            ORDER BY e.stream_id LIMIT $5
            """
        let sql =
            sumsUp
            ? """
            SELECT \(EventRows.columns)
            FROM (
                SELECT e.*, sum\(size) OVER (
                    ORDER BY e.stream_id ROWS BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING) AS bytes
                FROM (SELECT e.* FROM \(rows)) e
            ) e
            WHERE coalesce(e.bytes, 0) < $6
            ORDER BY e.stream_id
            """
            : """
            SELECT stream_id, kind, mark, persisted_at, writer, event_id, type, key,
                CASE WHEN \(size) <= $6 THEN payload END, CASE WHEN \(size) <= $6 THEN metadata END
            FROM \(rows)
            """
        return PostgresStatement(
            sql,
            [
                .text(stream.rawValue), .int64(Int64(request.membershipVersion)), .int64(request.after.rawValue),
                .int64(request.through.rawValue), .int64(Int64(min(request.limit, .max - 1)) + 1),
                .int64(Int64(sumsUp ? request.byteLimit : request.byteLimit / max(request.limit, 1))),
                .int64(request.furthest.rawValue),
            ] + parameters)
    }

    /// As far as a snapshot may look: without members nobody can commit, and what is there is all there will ever be.
    private static func reached(_ name: String, _ through: String) -> String {
        """
        CASE WHEN EXISTS (
            SELECT FROM \(name).instances i JOIN \(name).streams s ON s.stream = i.stream
            WHERE s.name = $1 AND i.is_member) THEN \(through)::bigint ELSE 9223372036854775807 END
        """
    }

    /// The last event that is passed, whether or not the filter lets it through.
    private func passedStatement(_ stream: StreamName, _ request: SnapshotRequest) -> PostgresStatement {
        let name = namespace.quoted
        return PostgresStatement(
            """
            SELECT e.stream_id, e.mark, e.event_id FROM \(name).events e
            WHERE e.stream = (SELECT s.stream FROM \(name).streams s WHERE s.name = $1) AND e.stream_id > $2
                AND e.stream_id <= least($4::bigint, \(Self.reached(name, "$3"))) AND e.kind <> 1
            ORDER BY e.stream_id DESC LIMIT 1
            """,
            [
                .text(stream.rawValue), .int64(request.after.rawValue), .int64(request.through.rawValue),
                .int64(request.furthest.rawValue),
            ])
    }

    private static func passed(_ rows: PostgresRows) throws -> Delivered? {
        if rows.count == 0 { return nil }
        return Delivered(
            streamID: StreamID(try rows.int64(0, 0)), mark: CommitMark(try rows.int64(0, 1)),
            eventID: try rows.textIfAny(0, 2))
    }

    public func reconciliation(
        of stream: StreamName, above minimum: StreamID, limit: Int
    ) async throws -> Reconciliation? {
        let name = namespace.quoted
        let statements = [
            StreamHeader.statement(namespace, stream),
            PostgresStatement(
                """
                SELECT min(r.stream_id), max(r.stream_id)
                FROM (
                    SELECT e.stream_id, e.stream_id - row_number() OVER (ORDER BY e.stream_id) AS run
                    FROM (
                        SELECT e.stream_id FROM \(name).events e
                        WHERE e.stream = (SELECT s.stream FROM \(name).streams s WHERE s.name = $1)
                            AND e.stream_id > greatest(
                                $2, (SELECT s.pruned_through FROM \(name).streams s WHERE s.name = $1))
                        ORDER BY e.stream_id LIMIT $3
                    ) e
                ) r
                GROUP BY r.run ORDER BY 1
                """, [.text(stream.rawValue), .int64(minimum.rawValue), .int64(Int64(clamping: limit))]),
            PostgresStatement(
                """
                SELECT coalesce(max(\(name).newest_row_1(s.stream)), 0) FROM \(name).streams s WHERE s.name = $1
                """, [.text(stream.rawValue)]),
            PostgresStatement(
                """
                SELECT i.instance, i.epoch, i.heartbeat, i.position,
                    CASE WHEN i.life_key IS NULL THEN false ELSE \(SignOfLife.isGone(key: "i.life_key")) END,
                    (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
                FROM \(name).instances i JOIN \(name).streams s ON s.stream = i.stream
                WHERE s.name = $1 AND i.is_member
                """, [.text(stream.rawValue)]),
        ]
        return try await inSnapshot(CallSubject(stream)) { session in
            let answers = try StreamHeader.read(session, statements)
            guard let header = try StreamHeader(answers[0]) else { return nil }
            let runs = answers[1]
            let members = answers[3]
            let end = header.pruned.through
            let pruned = minimum < end && limit > 0 ? [StreamID(minimum.rawValue + 1)...end] : []
            let finished = try (0..<runs.count).map { row in
                StreamID(try runs.int64(row, 0))...StreamID(try runs.int64(row, 1))
            }
            // Right above what was pruned the run goes on.
            let isOneRun = finished.first.map { $0.lowerBound.rawValue == end.rawValue + 1 } ?? false
            let joined =
                pruned.isEmpty || !isOneRun
                ? pruned + finished : [pruned[0].lowerBound...finished[0].upperBound] + finished.dropFirst()
            return Reconciliation(
                membership: header.membership, sequence: header.sequence,
                newestCommitted: StreamID(try answers[2].int64(0, 0)),
                finished: joined,
                observations: try (0..<members.count).map { row in
                    WriterObservation(
                        writer: Writer(
                            try InstanceName(validating: try members.text(row, 0)),
                            epoch: Int(try members.int64(row, 1))),
                        heartbeat: Int(try members.int64(row, 2)), position: StreamID(try members.int64(row, 3)),
                        isProcessGone: try members.bool(row, 4), readAt: .microseconds(try members.int64(row, 5)))
                }, newest: header.newest)
        }
    }

    public func event(withID id: String, in stream: StreamName) async throws -> PersistedEvent? {
        // None was persisted with such an id.
        if id.utf8.contains(0) { return nil }
        let (namespace, names) = (namespace, names)
        let sql = """
            SELECT \(EventRows.columns),
                (SELECT s.pruned_through FROM \(namespace.quoted).streams s WHERE s.name = $1)
            FROM \(namespace.quoted).events e
            WHERE e.stream = (SELECT s.stream FROM \(namespace.quoted).streams s WHERE s.name = $1) AND e.event_id = $2
            """
        return try await inSnapshot(CallSubject(stream)) { session in
            let rows = try StreamHeader.read(session, [PostgresStatement(sql, [.text(stream.rawValue), .text(id)])])[0]
            if rows.count == 0 { return nil }
            let (id, mark) = (try rows.int64(0, 0), try rows.int64(0, 10))
            if id <= mark {
                throw TidemarkError.pruned(stream: stream, after: StreamID(id - 1), through: StreamID(mark))
            }
            var found = try EventRows(rows, names, session, namespace)
            return try found.event(0)
        }
    }

    /// The names of the streams that are there, in order, `limit` of them at most.
    ///
    /// - Throws: `TidemarkError`.
    public func streams(limit: Int) async throws -> [StreamName] {
        let sql = "SELECT s.name FROM \(namespace.quoted).streams s ORDER BY s.name LIMIT $1"
        return try await inSnapshot { session in
            let rows = try session.query(sql, [.int64(Int64(clamping: limit))])
            return try (0..<rows.count).map { try StreamName(validating: try rows.text($0, 0)) }
        }
    }
}

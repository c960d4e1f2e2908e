public import Tidemark

/// What pruning has left, and what processors keep.
extension PostgreSQLEventStore {
    public func movedParked(
        of stream: StreamName, by consumer: ConsumerName, after position: StreamID, limit: Int, byteLimit: Int
    ) async throws -> [ParkedEvent] {
        let (namespace, names) = (namespace, names)
        let sql = """
            SELECT \(EventRows.columns), \(Self.parkedColumns)
            FROM (
                SELECT k.*, sum(coalesce(octet_length(k.payload), 0) + coalesce(octet_length(k.metadata), 0)) OVER (
                    ORDER BY k.stream_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes
                FROM (
                    SELECT k.* FROM \(namespace.quoted).parked k
                    WHERE k.stream = (SELECT s.stream FROM \(namespace.quoted).streams s WHERE s.name = $1)
                        AND k.consumer = $2 AND k.stream_id > $3
                    ORDER BY k.stream_id LIMIT $4
                ) k
            ) k
            WHERE coalesce(k.bytes, 0) < $5 ORDER BY k.stream_id
            """
        return try await inSnapshot(CallSubject(stream, consumer: consumer)) { session in
            let rows = try session.query(
                sql,
                [
                    .text(stream.rawValue), .text(consumer.rawValue), .int64(position.rawValue), .int64(Int64(limit)),
                    .int64(Int64(byteLimit)),
                ])
            return try Self.parkedEvents(rows, EventRows(rows, names, session, namespace))
        }
    }

    public func movedPrunedKeys(of stream: StreamName, after key: String?, limit: Int) async throws -> [PrunedKey] {
        let sql = """
            SELECT k.key, k.stream_id FROM \(namespace.quoted).pruned_keys k
            WHERE k.stream = (SELECT s.stream FROM \(namespace.quoted).streams s WHERE s.name = $1)
                AND ($2::text IS NULL OR k.key > $2::text COLLATE "C")
            ORDER BY k.key LIMIT $3
            """
        return try await inSnapshot(CallSubject(stream)) { session in
            let rows = try session.query(sql, [.text(stream.rawValue), .text(key), .int64(Int64(limit))])
            return try (0..<rows.count).map {
                PrunedKey(try rows.text($0, 0), newest: StreamID(try rows.int64($0, 1)))
            }
        }
    }

    public func receivePruned(
        _ prefix: PrunedPrefix, in stream: StreamName, after position: StreamID, limit: Int
    ) async throws -> StreamID? {
        let sql = "SELECT \(namespace.function("receive_pruned_1"))($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
        do {
            return try await write(
                sql,
                [
                    .text(stream.rawValue), .int64(position.rawValue), .int64(Int64(limit)),
                    .int64(prefix.through.rawValue), .int64(prefix.last?.streamID.rawValue),
                    .int64(prefix.last?.mark.rawValue), .int64(prefix.events.count),
                    .int64(Int64(bitPattern: prefix.events.sum)), .int64(prefix.latestMilliseconds),
                    .int64(prefix.forgottenThrough.rawValue),
                ], .always
            ) { try $0.int64IfAny(0, 0).map { StreamID($0) } }
        } catch {
            throw errors.tidemarkError(error, CallSubject(stream))
        }
    }

    public func receivePruned(_ keys: [PrunedKey], in stream: StreamName) async throws {
        try await call(
            "receive_pruned_keys_1", stream, [.texts(keys.map(\.key)), .int64s(keys.map(\.newest.rawValue))])
    }

    public func receiveParked(
        _ events: [ParkedEvent], of consumer: ConsumerName, in stream: StreamName
    ) async throws {
        let copies = events.map(\.event?.event)
        try Self.check(copies.compactMap(\.self), in: stream)
        try await call(
            "receive_parked_1", stream,
            [
                .text(consumer.rawValue), .int64s(events.map(\.streamID.rawValue)),
                .int64s(events.map { Int64($0.partition) }), .int64s(copies.map { $0 == nil ? 2 : 0 }),
                .texts(events.map { ($0.event?.instance ?? $0.externalEvent?.instance)?.rawValue }),
                .int64s(events.map { ($0.event?.mark ?? $0.externalEvent?.mark)?.rawValue }),
                .int64s(events.map { $0.event?.persistedAtMilliseconds ?? $0.externalEvent?.persistedAtMilliseconds }),
                .texts(copies.map { $0?.id }), .texts(copies.map { $0?.type }), .texts(copies.map { $0?.key }),
                .byteStrings(copies.map { $0?.payload }),
                .texts(try copies.map { try $0.flatMap { try MetadataText.text($0.metadata) } }),
                .int64s(events.map { Int64($0.reason.rawValue) }), .int64s(events.map { Int64($0.attempts) }),
                .texts(events.map { Self.storable($0.problem) }), .int64s(events.map(\.parkedAtMilliseconds)),
                .bools(events.map(\.isToBeRetried)),
            ])
    }
}

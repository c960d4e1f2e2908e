public import Tidemark

extension PostgreSQLEventStore: MovableStore {
    public func movedStream(_ stream: StreamName) async throws -> MovedStream? {
        let name = namespace.quoted
        let text = PostgresValue.text(stream.rawValue)
        let ofStream = "stream = (SELECT s.stream FROM \(name).streams s WHERE s.name = $1)"
        let statements = [
            PostgresStatement(
                """
                SELECT coalesce(pg_sequence_last_value(s.sequence), 0), s.membership_version, s.forgotten_epoch, s.moved_to,
                    s.arriving_from, \(name).minimum_persisted_1(s.stream),
                    greatest(s.pruned_through, (SELECT max(e.stream_id) FROM \(name).events e WHERE e.stream = s.stream)),
                    \(StreamHeader.prunedColumns)
                FROM \(name).streams s WHERE s.name = $1
                """, [text]),
            PostgresStatement("SELECT instance, epoch FROM \(name).instances WHERE \(ofStream)", [text]),
            PostgresStatement(
                """
                SELECT name, generation, position, delivered_count, delivered_sum, passed_id, passed_mark, start_after,
                    filter, pruned_count, pruned_sum
                FROM \(name).consumers WHERE \(ofStream) ORDER BY name
                """, [text]),
            PostgresStatement(
                """
                SELECT consumer, partition, hash, claim, position, delivered_count, delivered_sum, passed_id, passed_mark,
                    start_after, pruned_count, pruned_sum
                FROM \(name).partitions WHERE \(ofStream) ORDER BY consumer, partition
                """, [text]),
            PostgresStatement(
                "SELECT consumer, partition, stream_id, attempts FROM \(name).attempts WHERE \(ofStream)", [text]),
        ]
        return try await inSnapshot(CallSubject(stream)) { session in
            let answers = try StreamHeader.read(session, statements)
            let (header, instances, consumers) = (answers[0], answers[1], answers[2])
            if header.count == 0 { return nil }
            let partitions = try Self.partitions(answers[3], attempts: answers[4])
            let epochs = try (0..<instances.count).map { row in
                (try InstanceName(validating: try instances.text(row, 0)), Int(try instances.int64(row, 1)))
            }
            let newestRow = StreamID(try header.int64(0, 6))
            return MovedStream(
                // A crash may have taken the sequence back, until somebody joins.
                sequence: max(StreamID(try header.int64(0, 0)), newestRow), newestRow: newestRow,
                minimum: StreamID(try header.int64(0, 5)), membershipVersion: Int(try header.int64(0, 1)),
                forgottenEpoch: Int(try header.int64(0, 2)), epochs: Dictionary(uniqueKeysWithValues: epochs),
                consumers: try (0..<consumers.count).map { row in
                    let name = try ConsumerName(validating: try consumers.text(row, 0))
                    return MovedConsumer(
                        name: name,
                        generation: Int(try consumers.int64(row, 1)), position: StreamID(try consumers.int64(row, 2)),
                        delivered: try consumers.deliveredSum(row, 3), passed: try consumers.passed(row, 5),
                        start: StreamID(try consumers.int64(row, 7)),
                        filter: try FilterText.filter(consumers.textIfAny(row, 8)),
                        pruned: try consumers.deliveredSum(row, 9) ?? DeliveredSum(),
                        partitions: partitions[name] ?? [])
                }, pruned: try PrunedPrefix(header, 0, column: 7), movedTo: try header.textIfAny(0, 3),
                arrivingFrom: try header.textIfAny(0, 4))
        }
    }

    private struct PartitionName: Hashable {
        let consumer: String
        let partition: Int64
    }

    private static func partitions(
        _ rows: PostgresRows, attempts counts: PostgresRows
    ) throws -> [ConsumerName: [MovedPartition]] {
        var attempts: [PartitionName: [StreamID: Int]] = [:]
        for row in 0..<counts.count {
            let name = PartitionName(consumer: try counts.text(row, 0), partition: try counts.int64(row, 1))
            attempts[name, default: [:]][StreamID(try counts.int64(row, 2))] = Int(try counts.int64(row, 3))
        }
        let partitions = try (0..<rows.count).map { row in
            let name = PartitionName(consumer: try rows.text(row, 0), partition: try rows.int64(row, 1))
            let partition = MovedPartition(
                partition: Int(name.partition), hash: try rows.text(row, 2), claim: Int(try rows.int64(row, 3)),
                position: StreamID(try rows.int64(row, 4)), delivered: try rows.deliveredSum(row, 5),
                passed: try rows.passed(row, 7), start: StreamID(try rows.int64(row, 9)),
                pruned: try rows.deliveredSum(row, 10) ?? DeliveredSum(), attempts: attempts[name] ?? [:])
            return (consumer: try ConsumerName(validating: name.consumer), partition: partition)
        }
        return Dictionary(grouping: partitions, by: \.consumer).mapValues { $0.map(\.partition) }
    }

    public func movedRows(
        of stream: StreamName, after position: StreamID, limit: Int, byteLimit: Int
    ) async throws -> [MovedRow] {
        let (namespace, names) = (namespace, names)
        let sql = """
            SELECT \(EventRows.columns), e.stream_id <= (
                SELECT s.pruned_through FROM \(namespace.quoted).streams s WHERE s.name = $1)
            FROM (
                SELECT e.*, sum(octet_length(e.payload) + coalesce(octet_length(e.metadata), 0)) OVER (
                    ORDER BY e.stream_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes
                FROM (
                    SELECT e.* FROM \(namespace.quoted).events e
                    WHERE e.stream = (SELECT s.stream FROM \(namespace.quoted).streams s WHERE s.name = $1)
                        AND e.stream_id > $2
                    ORDER BY e.stream_id LIMIT $3
                ) e
            ) e
            WHERE coalesce(e.bytes, 0) < $4 ORDER BY e.stream_id
            """
        return try await inSnapshot(CallSubject(stream)) { session in
            let statement = PostgresStatement(
                sql,
                [.text(stream.rawValue), .int64(position.rawValue), .int64(Int64(limit)), .int64(Int64(byteLimit))])
            let found = try StreamHeader.read(session, [statement])[0]
            var rows = try EventRows(found, names, session, namespace)
            return try (0..<rows.count).map { row in
                let place = try rows.externalEvent(row)
                let content: MovedRow.Content
                if try rows.isExternal(row) {
                    content = .externalEvent
                } else if try rows.isTombstone(row) {
                    content = .tombstone
                } else {
                    let event = try rows.event(row).event
                    content = try found.bool(row, 10) ? .pruned(id: event.id, key: event.key) : .event(event)
                }
                return MovedRow(
                    streamID: place.streamID, content: content, instance: place.instance,
                    persistedAtMilliseconds: place.persistedAtMilliseconds, mark: place.mark)
            }
        }
    }

    public func moveAway(_ stream: StreamName, to destination: String) async throws {
        try await exclude(
            CallSubject(stream), "SELECT \(namespace.function("move_away_1"))($1, $2, $3)",
            [.text(stream.rawValue), .text(destination), lockLimitMilliseconds]
        ) { _ in }
    }

    public func moveBack(_ stream: StreamName) async throws { try await call("move_back_1", stream) }

    public func beginArrival(of stream: StreamName, from source: String) async throws {
        try await call("begin_arrival_1", stream, [.text(source)])
    }

    public func receive(_ rows: [MovedRow], in stream: StreamName) async throws {
        if rows.isEmpty { return }
        let events = rows.map { row in
            switch row.content {
            case .event(let event): event
            case .pruned(let id, let key): Event(id: id, type: "", key: key, payload: [])
            case .tombstone, .externalEvent: nil as Event?
            }
        }
        try Self.check(events.compactMap(\.self), in: stream)
        let kinds: [Int64?] = rows.map { row in
            switch row.content {
            case .event, .pruned: 0
            case .tombstone: 1
            case .externalEvent: 2
            }
        }
        // Of a call whose answer was lost it is not known whether the rows are there: the next look at the stream tells.
        try await call(
            "receive_1", stream,
            [
                .int64s(rows.map(\.streamID.rawValue)), .int64s(kinds), .texts(rows.map(\.instance.rawValue)),
                .int64s(rows.map(\.persistedAtMilliseconds)), .texts(events.map { $0?.id }),
                .texts(events.map { $0?.type }), .texts(events.map { $0?.key }),
                .byteStrings(events.map { $0?.payload }),
                .texts(try events.map { try $0.flatMap { try MetadataText.text($0.metadata) } }),
                .bools(rows.map { if case .pruned = $0.content { true } else { false } }),
            ], repeating: .onlyIfUndone)
    }

    public func endArrival(of stream: StreamName, as moved: MovedStream) async throws {
        let epochs = Array(moved.epochs)
        let consumers = moved.consumers
        let partitions = consumers.flatMap { consumer in consumer.partitions.map { (consumer: consumer.name, row: $0) }
        }
        let attempts = partitions.flatMap { partition in
            partition.row.attempts.map { (partition: partition, id: $0.key, count: $0.value) }
        }
        try await call(
            "receive_partitions_1", stream,
            [
                .texts(partitions.map(\.consumer.rawValue)), .int64s(partitions.map { Int64($0.row.partition) }),
                .texts(partitions.map(\.row.hash)), .int64s(partitions.map { Int64($0.row.claim) }),
                .int64s(partitions.map(\.row.position.rawValue)), .int64s(partitions.map { $0.row.delivered?.count }),
                .int64s(partitions.map { $0.row.delivered.map { Int64(bitPattern: $0.sum) } }),
                .int64s(partitions.map { $0.row.passed?.streamID.rawValue }),
                .int64s(partitions.map { $0.row.passed?.mark.rawValue }),
                .int64s(partitions.map(\.row.start.rawValue)), .int64s(partitions.map(\.row.pruned.count)),
                .int64s(partitions.map { Int64(bitPattern: $0.row.pruned.sum) }),
                .texts(attempts.map(\.partition.consumer.rawValue)),
                .int64s(attempts.map { Int64($0.partition.row.partition) }), .int64s(attempts.map(\.id.rawValue)),
                .int64s(attempts.map { Int64($0.count) }),
            ])
        try await call(
            "end_arrival_1", stream,
            [
                .int64(moved.sequence.rawValue), .int64(Int64(moved.membershipVersion)),
                .int64(Int64(moved.forgottenEpoch)), .texts(epochs.map(\.key.rawValue)),
                .int64s(epochs.map { Int64($0.value) }), .texts(consumers.map(\.name.rawValue)),
                .int64s(consumers.map { Int64($0.generation) }), .int64s(consumers.map(\.position.rawValue)),
                .int64s(consumers.map { $0.delivered?.count }),
                .int64s(consumers.map { $0.delivered.map { Int64(bitPattern: $0.sum) } }),
                .int64s(consumers.map { $0.passed?.streamID.rawValue }),
                .int64s(consumers.map { $0.passed?.mark.rawValue }), .int64s(consumers.map(\.start.rawValue)),
                .texts(try consumers.map { try FilterText.text($0.filter) }),
                .int64s(consumers.map(\.pruned.count)),
                .int64s(consumers.map { Int64(bitPattern: $0.pruned.sum) }),
            ], repeating: .onlyIfUndone)
    }

    public func cancelArrival(of stream: StreamName) async throws { try await call("cancel_arrival_1", stream) }

    func call(
        _ function: String, _ stream: StreamName, _ parameters: [PostgresValue] = [], repeating: Repeating = .always
    ) async throws {
        let places = (1...parameters.count + 1).map { "$\($0)" }.joined(separator: ", ")
        do {
            try await write(
                "SELECT \(namespace.function(function))(\(places))", [.text(stream.rawValue)] + parameters, repeating
            ) { _ in }
        } catch {
            throw errors.tidemarkError(error, CallSubject(stream))
        }
    }
}

/// A stream that was found to be elsewhere, in what a snapshot says.
struct StreamElsewhere: Error {
    let movedTo: String?
    let arrivingFrom: String?

    /// - Throws: this error, for a stream that is not here, or not whole.
    static func check(_ rows: PostgresRows, _ row: Int, column: Int) throws {
        let found = StreamElsewhere(
            movedTo: try rows.textIfAny(row, column), arrivingFrom: try rows.textIfAny(row, column + 1))
        if found.movedTo != nil || found.arrivingFrom != nil { throw found }
    }

    func error(of stream: StreamName, in store: String) -> TidemarkError {
        if let movedTo { return .streamMoved(stream: stream, store: store, to: movedTo) }
        return .streamArriving(stream: stream, store: store, from: arrivingFrom ?? "")
    }
}

public import Tidemark

extension PostgreSQLEventStore {
    public func status(of stream: StreamName, includingLeft: Bool) async throws -> StreamStatus? {
        let name = namespace.quoted
        let text = PostgresValue.text(stream.rawValue)
        let statements = [
            // A status has to say what is wrong, and must not wait for it.
            PostgresStatement("SET LOCAL lock_timeout = \(max(1, Int64(options.lockLimit / .milliseconds(1))))"),
            StreamHeader.statement(namespace, stream),
            PostgresStatement(
                "SELECT \(name).minimum_persisted_1(s.stream) FROM \(name).streams s WHERE s.name = $1", [text]),
            PostgresStatement(
                """
                SELECT i.instance, i.epoch, i.is_member, i.position, i.is_closed, i.in_flight, i.lowest_in_flight,
                    \(Self.age("i.in_flight_since")), \(Self.age("i.heartbeat_at")), i.process_id,
                    CASE WHEN i.is_member AND i.life_key IS NOT NULL THEN \(SignOfLife.isGone(key: "i.life_key"))
                        ELSE false END
                FROM \(name).instances i JOIN \(name).streams s ON s.stream = i.stream
                WHERE s.name = $1 AND (i.is_member OR $2) ORDER BY i.instance
                """, [text, .bool(includingLeft)]),
            PostgresStatement(
                """
                SELECT count(*) FROM \(name).instances i JOIN \(name).streams s ON s.stream = i.stream
                WHERE s.name = $1 AND i.left_at IS NOT NULL
                """, [text]),
            PostgresStatement(
                """
                SELECT c.name, c.position, \(Self.age("c.updated_at")), coalesce(u.process_id, c.holder_process_id),
                    u.life_key IS NOT NULL,
                    c.start_after, c.filter,
                    (SELECT count(*) FROM (
                        SELECT FROM \(name).parked k WHERE k.stream = c.stream AND k.consumer = c.name
                        LIMIT \(StreamStatus.ConsumerStatus.mostParked)) parked)
                FROM \(name).consumers c JOIN \(name).streams s ON s.stream = c.stream
                LEFT JOIN LATERAL (
                    SELECT h.process_id, h.life_key FROM (
                        SELECT c.holder_process_id AS process_id, c.holder_key AS life_key
                        UNION ALL
                        SELECT p.process_id, p.life_key FROM \(name).processes p
                        WHERE p.stream = c.stream AND p.consumer = c.name
                    ) h
                    WHERE h.life_key IS NOT NULL AND NOT \(SignOfLife.isGone(key: "h.life_key")) LIMIT 1
                ) u ON true
                WHERE s.name = $1 ORDER BY c.name
                """, [text]),
            LockHolder.blockers(namespace, stream), TableLock.all(namespace),
            PostgresStatement(
                """
                SELECT p.consumer, p.partition, p.position, p.owner, o.process_id, p.oldest_id,
                    \(Self.age("p.oldest_since"))
                FROM \(name).partitions p JOIN \(name).streams s ON s.stream = p.stream
                LEFT JOIN \(name).processes o ON o.stream = p.stream AND o.consumer = p.consumer AND o.process = p.owner
                WHERE s.name = $1 ORDER BY p.consumer, p.partition
                """, [text]),
            PostgresStatement("SELECT keyed_from FROM \(name).streams WHERE name = $1", [text]),
        ]
        let found = try await inSnapshot(CallSubject(stream)) { session -> StreamStatus? in
            let answers = try StreamHeader.read(session, statements)
            guard let header = try StreamHeader(answers[1]) else { return nil }
            return StreamStatus(
                stream: stream, sequence: header.sequence, newestEvent: header.newest?.streamID ?? 0,
                minimumPersisted: StreamID(try answers[2].int64(0, 0)), writers: try Self.writers(answers[3]),
                consumers: try Self.consumers(answers[5], try Self.partitions(answers[8])),
                leftCount: Int(try answers[4].int64(0, 0)),
                blockers: try Self.blockers(answers[6]) + TableLock.all(answers[7]).compactMap(\.asBlocker),
                keyIndex: KeyIndexState(keyedFrom: try answers[9].int64IfAny(0, 0)),
                prunedThrough: header.pruned.through)
        }
        guard let found else { return nil }
        let isSomeoneOverdue = found.writers.contains {
            $0.isMember && .milliseconds($0.heartbeatAgeMilliseconds) > StreamStatus.silence
        }
        guard isSomeoneOverdue, let holder = await oldestHolder(CallSubject(stream)) else { return found }
        return StreamStatus(
            stream: stream, sequence: found.sequence, newestEvent: found.newestEvent,
            minimumPersisted: found.minimumPersisted, writers: found.writers, consumers: found.consumers,
            writeLockHolder: holder, leftCount: found.leftCount, blockers: found.blockers, keyIndex: found.keyIndex,
            prunedThrough: found.prunedThrough)
    }

    /// Whole milliseconds since then, by the clock of the server; 0 where that was put back.
    private static func age(_ column: String) -> String {
        "greatest(0, extract(epoch FROM clock_timestamp() - \(column)) * 1000)::bigint"
    }

    private static func writers(_ rows: PostgresRows) throws -> [StreamStatus.WriterStatus] {
        try (0..<rows.count).map { row in
            StreamStatus.WriterStatus(
                writer: Writer(try InstanceName(validating: try rows.text(row, 0)), epoch: Int(try rows.int64(row, 1))),
                isMember: try rows.bool(row, 2), position: StreamID(try rows.int64(row, 3)),
                isClosed: try rows.bool(row, 4), inFlight: Int(try rows.int64(row, 5)),
                lowestInFlight: try rows.int64IfAny(row, 6).map { StreamID($0) },
                inFlightMilliseconds: try rows.bool(row, 2) && !rows.isNull(row, 6) ? try rows.int64IfAny(row, 7) : nil,
                heartbeatAgeMilliseconds: try rows.int64(row, 8),
                processID: try rows.int64IfAny(row, 9).map { Int32(clamping: $0) },
                isProcessGone: try rows.bool(row, 10))
        }
    }

    private static func blockers(_ rows: PostgresRows) throws -> [StreamStatus.Blocker] {
        try (0..<rows.count).map { row in
            let holder = LockHolder(
                instance: try rows.text(row, 0), processID: try rows.int64IfAny(row, 1),
                role: try rows.textIfAny(row, 2), application: try rows.textIfAny(row, 3),
                state: try rows.textIfAny(row, 4), ageMilliseconds: try rows.int64IfAny(row, 5),
                prepared: try rows.textIfAny(row, 6))
            return StreamStatus.Blocker(
                instance: try InstanceName(validating: holder.instance),
                holdsUp: Set(
                    (try rows.bool(row, 7) ? [.closing] : []) + (try rows.bool(row, 8) ? [.settling] : [])),
                holder: holder.name, processID: holder.processID, prepared: holder.prepared,
                milliseconds: holder.ageMilliseconds, waiting: Int(try rows.int64(row, 9)))
        }
    }

    private static func partitions(
        _ rows: PostgresRows
    ) throws -> [ConsumerName: [StreamStatus.PartitionStatus]] {
        let statuses = try (0..<rows.count).map { row in
            let status = StreamStatus.PartitionStatus(
                partition: Int(try rows.int64(row, 1)), position: StreamID(try rows.int64(row, 2)),
                owner: try rows.int64IfAny(row, 3).map { ProcessorProcess($0) },
                processID: try rows.int64IfAny(row, 4).map { Int32(clamping: $0) },
                oldestHandler: try rows.int64IfAny(row, 5).map { StreamID($0) },
                handlerMilliseconds: rows.isNull(row, 5) ? nil : try rows.int64IfAny(row, 6))
            return (consumer: try ConsumerName(validating: try rows.text(row, 0)), status: status)
        }
        return Dictionary(grouping: statuses, by: \.consumer).mapValues { $0.map(\.status) }
    }

    private static func consumers(
        _ rows: PostgresRows, _ partitions: [ConsumerName: [StreamStatus.PartitionStatus]]
    ) throws -> [StreamStatus.ConsumerStatus] {
        try (0..<rows.count).map { row in
            let name = try ConsumerName(validating: try rows.text(row, 0))
            return StreamStatus.ConsumerStatus(
                name: name, position: StreamID(try rows.int64(row, 1)),
                movedMillisecondsAgo: try rows.int64(row, 2), isInUse: try rows.bool(row, 4),
                processID: try rows.int64IfAny(row, 3).map { Int32(clamping: $0) },
                start: StreamID(try rows.int64(row, 5)), filter: try FilterText.filter(rows.textIfAny(row, 6)),
                parked: Int(try rows.int64(row, 7)), partitions: partitions[name] ?? [])
        }
    }
}

public import Tidemark

extension PostgreSQLEventStore {
    /// How many rows are read at a time, and for how long all of them may take.
    fileprivate static let auditedRows: Int64 = 10_000
    private static let auditLimit: Duration = .seconds(3_600)

    /// Looks at every row of the stream in one snapshot, and keeps none of them.
    ///
    /// Transaction ids tell what came after a checkpoint only within an era; what is older is compared by number and sum.
    public func audit(_ stream: StreamName, consumer: ConsumerName, limit: Int) async throws -> Audit {
        let (namespace, store) = (namespace, description)
        return try await inSnapshot(CallSubject(stream, consumer: consumer), limit: Self.auditLimit) { session in
            try session.transaction("ISOLATION LEVEL REPEATABLE READ READ ONLY") { session in
                _ = try session.query(StreamHeader.freeIndexes.sql)
                let audited = try AuditedStream(session, namespace, stream, consumer, store: store)
                let partitions = try audited.partitions(session)
                var auditor = ConsumerAuditor(audited.facts, partitions: partitions.map(\.facts), limit: limit)
                let places = Dictionary(partitions.map { ($0.facts.snapshot, $0.place) }) { one, _ in one }
                try audited.forEachRow(session) { row, key, transaction in
                    auditor.row(row, key: key) { places[$0]??.isLater(row.id, transaction) ?? false }
                }
                if !auditor.isAsDelivered {
                    try audited.forEachRow(session) { row, key, transaction in
                        auditor.rowAgain(row, key: key) { places[$0]??.isLater(row.id, transaction) ?? false }
                    }
                }
                return auditor.audit
            }
        }
    }

    /// A stream and a consumer's checkpoint, as one snapshot has them.
    private struct AuditedStream {
        let facts: SkipAuditor.Facts
        private let namespace: PostgresNamespace
        private let stream: Int64
        private let filter: EventFilter
        /// What the checkpoint's snapshot had seen; nil where it can be compared with nothing.
        private let snapshot: String?
        /// The era of the checkpoint: above the first and up to the second, where a later one begins.
        private let era: (after: Int64, through: Int64?)

        init(
            _ session: PostgresSession, _ namespace: PostgresNamespace, _ stream: StreamName, _ consumer: ConsumerName,
            store: String
        ) throws {
            self.namespace = namespace
            let name = namespace.quoted
            let statement = StreamHeader.statement(namespace, stream)
            guard let header = try StreamHeader(session.query(statement.sql, statement.parameters)) else {
                throw TidemarkError.unknownStream(stream: stream, store: store)
            }
            self.stream = header.stream
            let found = try session.query(
                """
                SELECT position, snapshot, delivered_count, delivered_sum, passed_id, passed_mark, start_after, filter,
                    pruned_count, pruned_sum
                FROM \(name).consumers c WHERE c.stream = $1 AND c.name = $2
                """, [.int64(header.stream), .text(consumer.rawValue)])
            guard found.count == 1 else {
                let known = try session.query(
                    "SELECT name FROM \(name).consumers c WHERE c.stream = $1 ORDER BY name", [.int64(header.stream)])
                throw TidemarkError.unknownConsumer(
                    stream: stream, consumer: consumer,
                    known: try (0..<known.count).map { try ConsumerName(validating: try known.text($0, 0)) })
            }
            let mark = SnapshotMark(bytes: found.isNull(0, 1) ? [] : try found.byteArray(0, 1))
            let taken = TakenSnapshot(mark)
            let place = try taken.map { try Self.era(of: $0.incarnation, session, name, header.stream) } ?? nil
            snapshot = place == nil ? nil : taken?.snapshot
            era = place ?? (0, nil)
            filter = try FilterText.filter(found.textIfAny(0, 7))
            facts = SkipAuditor.Facts(
                stream: stream, consumer: consumer, sequence: header.sequence,
                position: StreamID(try found.int64(0, 0)),
                snapshot: mark,
                isSnapshotAhead: try taken.map { try Self.isAhead($0, place != nil, header, session) } ?? false,
                delivered: try found.deliveredSum(0, 2), passed: try found.passed(0, 4),
                start: StreamID(try found.int64(0, 6)), pruned: header.pruned,
                prunedOfConsumer: try found.deliveredSum(0, 8) ?? DeliveredSum())
        }

        private static func era(
            of incarnation: Int64, _ session: PostgresSession, _ name: String, _ stream: Int64
        ) throws -> (after: Int64, through: Int64?)? {
            let rows = try session.query(
                """
                SELECT a.after_id, (
                    SELECT min(b.after_id) FROM \(name).eras b WHERE b.stream = a.stream AND b.after_id > a.after_id)
                FROM \(name).eras a WHERE a.stream = $1 AND a.incarnation = $2
                """, [.int64(stream), .int64(incarnation)])
            return rows.count == 0 ? nil : (try rows.int64(0, 0), try rows.int64IfAny(0, 1))
        }

        /// Whether the database has never had the incarnation of the checkpoint, or has not come as far in it.
        private static func isAhead(
            _ taken: TakenSnapshot, _ isEraKnown: Bool, _ header: StreamHeader, _ session: PostgresSession
        ) throws -> Bool {
            guard isEraKnown else { return true }
            guard taken.incarnation == header.membership.incarnation.rawValue else { return false }
            return try session.query(
                "SELECT pg_snapshot_xmax($1::text::pg_snapshot) > pg_snapshot_xmax(pg_current_snapshot())",
                [.text(taken.snapshot)]
            ).bool(0, 0)
        }

        /// Of a processor each partition with a checkpoint of its own, and what its snapshot had seen, where that can be
        /// compared; none of any other consumer.
        func partitions(
            _ session: PostgresSession
        ) throws -> [(facts: SkipAuditor.Facts, place: SnapshotPlace?)] {
            let name = namespace.quoted
            let rows = try session.query(
                """
                SELECT position, snapshot, delivered_count, delivered_sum, passed_id, passed_mark, start_after,
                    pruned_count, pruned_sum
                FROM \(name).partitions p WHERE p.stream = $1 AND p.consumer = $2 ORDER BY partition
                """, [.int64(stream), .text(facts.consumer.rawValue)])
            return try (0..<rows.count).map { row in
                var partition = facts
                partition.position = StreamID(try rows.int64(row, 0))
                partition.snapshot = SnapshotMark(bytes: rows.isNull(row, 1) ? [] : try rows.byteArray(row, 1))
                partition.isSnapshotAhead = false
                partition.delivered = try rows.deliveredSum(row, 2)
                partition.passed = try rows.passed(row, 4)
                partition.start = StreamID(try rows.int64(row, 6))
                partition.prunedOfConsumer = try rows.deliveredSum(row, 7) ?? DeliveredSum()
                guard let taken = TakenSnapshot(partition.snapshot),
                    let era = try Self.era(of: taken.incarnation, session, name, stream)
                else { return (partition, nil) }
                return (partition, SnapshotPlace(taken.snapshot, after: era.after, through: era.through))
            }
        }

        func forEachRow(
            _ session: PostgresSession,
            _ body: (_ row: SkipAuditor.Row, _ key: String?, _ transaction: UInt64) -> Void
        ) throws {
            let name = namespace.quoted
            // Nothing that was pruned is left to judge.
            var last: Int64 = facts.pruned.through > 0 ? facts.pruned.through.rawValue : .min
            while true {
                let rows = try session.query(
                    """
                    SELECT e.stream_id, e.kind <> 1, e.mark,
                        e.stream_id > $5 OR e.stream_id > $4 AND NOT coalesce(
                            pg_visible_in_snapshot(e.transaction, $3::text::pg_snapshot), true),
                        e.mark > 0, w.writer IS NOT NULL OR f.writer IS NOT NULL, e.type, e.key, e.transaction::text::bigint
                    FROM \(name).events e
                    LEFT JOIN \(name).instances w ON w.writer = e.writer AND w.stream = e.stream
                    LEFT JOIN \(name).former_instances f ON f.writer = e.writer
                    WHERE e.stream = $1::bigint AND e.stream_id > $2 ORDER BY e.stream_id LIMIT $6
                    """,
                    [
                        .int64(stream), .int64(last), .text(snapshot), .int64(era.after), .int64(era.through ?? .max),
                        .int64(PostgreSQLEventStore.auditedRows),
                    ])
                for row in 0..<rows.count {
                    last = try rows.int64(row, 0)
                    body(
                        SkipAuditor.Row(
                            id: StreamID(last), isEvent: try rows.bool(row, 1),
                            mark: CommitMark(try rows.int64(row, 2)),
                            isLater: try rows.bool(row, 3), isMarkPossible: try rows.bool(row, 4),
                            isWriterKnown: try rows.bool(row, 5), isWanted: try isWanted(rows, row)),
                        try rows.textIfAny(row, 7), UInt64(bitPattern: try rows.int64(row, 8)))
                }
                if rows.count < Int(PostgreSQLEventStore.auditedRows) { return }
            }
        }

        private func isWanted(_ rows: PostgresRows, _ row: Int) throws -> Bool {
            if filter == .all { return true }
            guard let type = try rows.textIfAny(row, 6) else { return false }
            return filter.passes(type: type, key: try rows.textIfAny(row, 7))
        }
    }
}

/// What a checkpoint keeps of its snapshot: the incarnation, and what PostgreSQL calls a `pg_snapshot`.
struct TakenSnapshot {
    let incarnation: Int64
    let snapshot: String

    /// Nil where no incarnation ran, or it is not of this store.
    init?(_ mark: SnapshotMark) {
        let parts = String(decoding: mark.bytes, as: UTF8.self).split(separator: ":", maxSplits: 1)
        guard parts.count == 2, let incarnation = Int64(parts[0]), incarnation >= 0 else { return nil }
        self.incarnation = incarnation
        snapshot = String(parts[1])
    }
}

/// What a snapshot of a checkpoint had seen, in its era.
private struct SnapshotPlace {
    private let after: Int64
    private let through: Int64?
    private let xmin: UInt64
    private let xmax: UInt64
    private let running: Set<UInt64>

    /// - Parameter text: as PostgreSQL writes a `pg_snapshot`: "xmin:xmax:xip,xip"; nil where it is none.
    init?(_ text: String, after: Int64, through: Int64?) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 3, let xmin = UInt64(parts[0]), let xmax = UInt64(parts[1]) else { return nil }
        (self.xmin, self.xmax, self.after, self.through) = (xmin, xmax, after, through)
        running = Set(parts[2].split(separator: ",").compactMap { UInt64($0) })
    }

    /// Whether a row's commit came after it.
    func isLater(_ id: StreamID, _ transaction: UInt64) -> Bool {
        if let through, id.rawValue > through { return true }
        if id.rawValue <= after || transaction < xmin { return false }
        return transaction >= xmax || running.contains(transaction)
    }
}

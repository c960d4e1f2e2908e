import GRDB
import Tidemark

extension SQLiteEventStore {
    /// Looks at every row of the stream in one snapshot, and keeps none of them.
    public func audit(_ stream: StreamName, consumer: ConsumerName, limit: Int) async throws -> Audit {
        try await inSnapshot { db in
            let row = try self.existing(stream, in: db)
            let (facts, filter) = try Self.facts(of: consumer, in: row, stream, db)
            let seen = facts.snapshot.newestCommit ?? 0
            let partitions = try Self.partitions(of: consumer, in: row, facts, db)
            var auditor = ConsumerAuditor(facts, partitions: partitions, limit: limit)
            auditor.prunedCommits(
                through: CommitNumber.place(of: row.pruned.newestCommit.rawValue, unmarked: row.unmarkedCommits))
            try Self.forEachRow(of: row, seen: seen, filter, db) { found, key in
                auditor.row(found, key: key) { found.mark.rawValue > $0.newestCommit ?? 0 }
            }
            if !auditor.isAsDelivered {
                try Self.forEachRow(of: row, seen: seen, filter, db) { found, key in
                    auditor.rowAgain(found, key: key) { found.mark.rawValue > $0.newestCommit ?? 0 }
                }
            }
            try Self.forEachCommit(of: row, db) { auditor.commit($0) }
            return auditor.audit
        }
    }

    private static func facts(
        of consumer: ConsumerName, in row: StreamRow, _ stream: StreamName, _ db: Database
    ) throws -> (SkipAuditor.Facts, EventFilter) {
        let facts = try Query.first(
            db,
            """
            SELECT position, commit_number, delivered_count, delivered_sum, passed_id, passed_commit, start_after,
                pruned_count, pruned_sum
            FROM tidemark_consumers
            WHERE stream = ? AND name = ?
            """, row.row, consumer
        ) { found in
            SkipAuditor.Facts(
                stream: stream, consumer: consumer, sequence: row.sequence,
                commitCount: CommitNumber.place(of: row.commitNumber, unmarked: row.unmarkedCommits),
                position: found.streamID(0), snapshot: SnapshotMark(newestCommit: found.number(1)),
                isSnapshotAhead: found.number(1) > row.commitNumber, delivered: found.deliveredSum(2),
                passed: found.isNull(4)
                    ? nil : Delivered(streamID: found.streamID(4), mark: CommitMark(found.number(5))),
                start: found.streamID(6), pruned: row.pruned, prunedOfConsumer: found.deliveredSum(7) ?? DeliveredSum())
        }
        if let facts, let row = try ConsumerRow.named(consumer, of: row, in: db) { return (facts, row.filter) }
        let known = try Query.all(
            db, "SELECT name FROM tidemark_consumers WHERE stream = ? ORDER BY name", row.row
        ) { try ConsumerName(validating: $0.text(0)) }
        throw TidemarkError.unknownConsumer(stream: stream, consumer: consumer, known: known)
    }

    /// The partitions of a processor that have checkpoints of their own; none for any other consumer.
    private static func partitions(
        of consumer: ConsumerName, in row: StreamRow, _ facts: SkipAuditor.Facts, _ db: Database
    ) throws -> [SkipAuditor.Facts] {
        try Query.all(
            db,
            """
            SELECT position, commit_number, delivered_count, delivered_sum, passed_id, passed_commit, start_after,
                pruned_count, pruned_sum
            FROM tidemark_partitions WHERE stream = ? AND consumer = ? ORDER BY partition
            """, row.row, consumer
        ) { found in
            var partition = facts
            partition.position = found.streamID(0)
            partition.snapshot = SnapshotMark(newestCommit: found.number(1))
            partition.isSnapshotAhead = found.number(1) > row.commitNumber
            partition.delivered = found.deliveredSum(2)
            partition.passed =
                found.isNull(4) ? nil : Delivered(streamID: found.streamID(4), mark: CommitMark(found.number(5)))
            partition.start = found.streamID(6)
            partition.prunedOfConsumer = found.deliveredSum(7) ?? DeliveredSum()
            return partition
        }
    }

    /// - Parameter seen: the newest commit in the snapshot of the checkpoint.
    private static func forEachRow(
        of stream: StreamRow, seen: Int64, _ filter: EventFilter, _ db: Database,
        _ body: (_ row: SkipAuditor.Row, _ key: String?) -> Void
    ) throws {
        let query = try Query(
            db,
            """
            SELECT e.stream_id, e.kind, e.commit_number, coalesce(w.writer, f.writer), e.type, e.key
            FROM tidemark_events e
            LEFT JOIN tidemark_instances w ON w.writer = e.writer AND w.stream = e.stream
            LEFT JOIN tidemark_former_instances f ON f.writer = e.writer
            WHERE e.stream = ?1 AND e.stream_id >= ?2 ORDER BY e.stream_id
            """)
        defer { query.reset() }
        try query.bind(stream.row, at: 1)
        try query.bind(stream.firstJudged, at: 2)
        while try query.step() {
            body(
                SkipAuditor.Row(
                    id: query.streamID(0), isEvent: query.number(1) != 1, mark: CommitMark(query.number(2)),
                    isLater: query.number(2) > seen,
                    isMarkPossible: query.number(2) >= 1 && query.number(2) <= stream.commitNumber,
                    isWriterKnown: !query.isNull(3),
                    isWanted: filter == .all
                        || !query.isNull(4)
                            && filter.passes(type: query.text(4), key: query.isNull(5) ? nil : query.text(5))
                ), query.isNull(5) ? nil : query.text(5))
        }
    }

    /// Sorted by SQLite, which puts what does not fit into its cache into a file.
    private static func forEachCommit(
        of stream: StreamRow, _ db: Database, _ body: (SkipAuditor.Commit) -> Void
    ) throws {
        let query = try Query(
            db,
            """
            SELECT commit_number, min(writer) <> max(writer) FROM tidemark_events WHERE stream = ?1 AND stream_id >= ?2
            GROUP BY commit_number ORDER BY commit_number
            """)
        defer { query.reset() }
        try query.bind(stream.row, at: 1)
        try query.bind(stream.firstJudged, at: 2)
        while try query.step() {
            let number = query.number(0)
            body(
                SkipAuditor.Commit(
                    mark: CommitMark(number), place: CommitNumber.place(of: number, unmarked: stream.unmarkedCommits),
                    hasSeveralWriters: query.number(1) == 1))
        }
    }
}

extension StreamRow {
    /// Nothing that was pruned is left to judge. Where nothing was, rows that cannot be are named, too.
    fileprivate var firstJudged: Int64 { pruned.through > 0 ? pruned.through.rawValue + 1 : .min }
}

extension Query {
    /// From two columns, of which the first is null when it was not kept.
    func deliveredSum(_ column: Int32) -> DeliveredSum? {
        if isNull(column) { return nil }
        return DeliveredSum(count: number(column), sum: UInt64(bitPattern: number(column + 1)))
    }
}

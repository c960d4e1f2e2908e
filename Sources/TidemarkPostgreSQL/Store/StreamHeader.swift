import Tidemark

/// What one snapshot says of a stream besides its events.
struct StreamHeader {
    /// The number of the stream's rows.
    let stream: Int64
    let membership: Membership
    /// The newest ID of the sequence: an upper bound, because the sequence is in no snapshot.
    let sequence: StreamID
    let mark: SnapshotMark
    let newest: Delivered?
    let deliveredIsThere: Bool
    let consumerGeneration: Int?
    let database: DatabaseID
    let pruned: PrunedPrefix

    /// Of a stream `s`, as ``PrunedPrefix`` reads them.
    static let prunedColumns = """
        s.pruned_through, s.pruned_id, s.pruned_mark, s.pruned_count, s.pruned_sum, s.pruned_at, s.forgotten_through
        """

    /// The answers to statements that read in one snapshot, sent at once.
    static func read(_ session: PostgresSession, _ statements: [PostgresStatement]) throws -> [PostgresRows] {
        let begin = [PostgresStatement("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"), freeIndexes]
        let answers = try session.pipeline(begin + statements + [PostgresStatement("COMMIT")])
        return Array(answers[begin.count..<begin.count + statements.count])
    }

    /// For the rest of a transaction an index costs the planner nothing. The server keeps the plans of statements that come again,
    /// and one that was made while the table was small would read all of it for each batch, until the server has looked at how
    /// much the table has grown.
    static let freeIndexes = PostgresStatement("SET LOCAL random_page_cost = 0")

    static func statement(
        _ namespace: PostgresNamespace, _ stream: StreamName, delivered: Delivered? = nil, consumer: ConsumerName? = nil
    ) -> PostgresStatement {
        let name = namespace.quoted
        return PostgresStatement(
            """
            SELECT s.stream, s.membership_version, coalesce(pg_sequence_last_value(s.sequence), 0),
                coalesce(\(name).incarnation_1(), 0), \(name).snapshot_mark_1(s.stream), \(name).members_1(s.stream),
                n.stream_id, n.mark, n.event_id,
                $2::bigint IS NULL OR \(name).holds_1(s.stream, $2, $3, $4::text),
                (SELECT c.generation FROM \(name).consumers c WHERE c.stream = s.stream AND c.name = $5::text),
                s.moved_to, s.arriving_from, (SELECT v.database_id FROM \(name).schema_version v),
                \(name).eras_1(s.stream), \(StreamHeader.prunedColumns)
            FROM \(name).streams s
            LEFT JOIN LATERAL (
                SELECT e.stream_id, e.mark, e.event_id FROM \(name).events e
                WHERE e.stream = s.stream AND e.stream_id > s.pruned_through AND e.kind <> 1
                ORDER BY e.stream_id DESC LIMIT 1
            ) n ON true
            WHERE s.name = $1
            """,
            [
                .text(stream.rawValue), .int64(delivered?.streamID.rawValue), .int64(delivered?.mark.rawValue),
                .text(delivered?.eventID), .text(consumer?.rawValue),
            ])
    }

    /// Nil when the stream does not exist.
    ///
    /// - Throws: ``StreamElsewhere``.
    init?(_ rows: PostgresRows) throws {
        if rows.count == 0 { return nil }
        try StreamElsewhere.check(rows, 0, column: 11)
        stream = try rows.int64(0, 0)
        membership = try MembersText.membership(
            rows.text(0, 5), version: rows.int64(0, 1), incarnation: rows.int64(0, 3), eras: rows.text(0, 14))
        sequence = StreamID(try rows.int64(0, 2))
        mark = SnapshotMark(bytes: try rows.byteArray(0, 4))
        pruned = try PrunedPrefix(rows, 0, column: 15)
        newest =
            try rows.int64IfAny(0, 6).map { id in
                Delivered(
                    streamID: StreamID(id), mark: CommitMark(try rows.int64(0, 7)), eventID: try rows.textIfAny(0, 8))
            } ?? pruned.last
        deliveredIsThere = try rows.bool(0, 9)
        consumerGeneration = try rows.int64IfAny(0, 10).map { Int($0) }
        database = DatabaseID(try rows.int64(0, 13))
    }

    func snapshot(
        _ events: [PersistedEvent], _ externalEvents: [ExternalEvent], isTruncated: Bool, passed: Delivered? = nil
    ) -> Snapshot {
        Snapshot(
            membership: membership, newestEvent: newest?.streamID ?? 0, sequence: sequence, mark: mark,
            deliveredIsThere: deliveredIsThere, consumerGeneration: consumerGeneration, events: events,
            externalEvents: externalEvents, isTruncated: isTruncated, database: database, passed: passed)
    }
}

extension PrunedPrefix {
    /// From the columns ``StreamHeader/prunedColumns``.
    init(_ rows: PostgresRows, _ row: Int, column: Int) throws {
        self.init()
        through = StreamID(try rows.int64(row, column))
        last = try rows.passed(row, column + 1)
        events = try rows.deliveredSum(row, column + 3) ?? DeliveredSum()
        latestMilliseconds = try rows.int64IfAny(row, column + 5)
        forgottenThrough = StreamID(try rows.int64(row, column + 6))
    }
}

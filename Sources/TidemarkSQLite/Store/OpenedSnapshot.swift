import GRDB
import Tidemark

/// A snapshot for a background reader, inside its transaction: what it says besides its events, and the way to them.
struct OpenedSnapshot {
    private let db: Database
    private let request: SnapshotRequest
    private let row: StreamRow
    private let membership: Membership
    private let newest: StreamID
    private let deliveredIsThere: Bool
    private let consumerGeneration: Int?
    private let database: DatabaseID

    /// Nil when the stream does not exist.
    ///
    /// - Throws: ``TidemarkError/streamMoved(stream:store:to:)``, ``TidemarkError/streamArriving(stream:store:from:)``,
    ///   ``TidemarkError/pruned(stream:after:through:)``.
    init?(_ stream: StreamName, _ request: SnapshotRequest, _ db: Database, store: String) throws {
        guard let row = try StreamRow.named(stream, in: db) else { return nil }
        try row.requireHere(stream, store)
        self.db = db
        self.request = request
        self.row = row
        membership = try row.membership(db)
        newest = try row.newestEvent(db)
        deliveredIsThere = try request.delivered.map { try row.holds($0, db) } ?? true
        database = try StreamRow.database(of: db)
        if membership.version == request.membershipVersion { try row.pruned.require(request.after, in: stream) }
        consumerGeneration = try request.claim.flatMap { try ConsumerRow.generation(of: $0.consumer, row, in: db) }
    }

    /// For how many rows it is worth to make room at once: IDs without a row count, and large batches grow by themselves.
    var expectedCount: Int {
        let ids = min(request.through.rawValue, newest.rawValue) - request.after.rawValue
        return Int(clamping: min(max(ids, 0), Int64(request.limit), 1_000))
    }

    /// - Parameter passed: where the last event that is passed is not the last of the events.
    func snapshot(
        _ events: [PersistedEvent], _ externalEvents: [ExternalEvent] = [], isTruncated: Bool, passed: Delivered? = nil
    ) -> Snapshot {
        Snapshot(
            membership: membership, newestEvent: newest, sequence: row.sequence,
            mark: SnapshotMark(newestCommit: row.commitNumber),
            deliveredIsThere: deliveredIsThere, consumerGeneration: consumerGeneration, events: events,
            externalEvents: externalEvents, isTruncated: isTruncated, database: database, passed: passed)
    }

    /// Whether its events may be delivered at all.
    private var isAsked: Bool {
        deliveredIsThere && membership.version == request.membershipVersion
            && consumerGeneration == request.claim?.generation
    }

    /// As far as it looks. Without members nobody can commit: what is here is all there will ever be up to the newest.
    private var through: StreamID {
        min(membership.members.isEmpty ? newest : request.through, request.furthest)
    }

    /// The last event that is passed, where a filter left events out; nil where none was, or it is one of those that are
    /// delivered.
    func passed(isTruncated: Bool) throws -> Delivered? {
        guard request.filter != .all, !isTruncated, isAsked else { return nil }
        guard let last = try row.lastEvent(through: through, db), last.streamID > request.after else { return nil }
        return try delivered(last.streamID)
    }

    /// The rows asked for, as far as the limits go; whether they cut something off. There are none where the members
    /// or the claim are not those that were asked for, or the delivered event is not there.
    ///
    /// - Parameter body: gets rows as ``EventDecoder`` needs them, and whether the event is in a table of the user's own;
    ///   returns how many bytes the row's payload and metadata have.
    func forEachRow(_ body: (_ row: Query, _ isExternal: Bool) throws -> Int) throws -> Bool {
        guard isAsked else { return false }
        let query = try rows()
        defer { query.reset() }
        try query.bind(row.row, at: 1)
        try query.bind(request.after.rawValue, at: 2)
        try query.bind(through.rawValue, at: 3)
        var count = 0
        var payloadBytes = 0
        while try query.step() {
            if count >= request.limit || payloadBytes >= request.byteLimit { return true }
            count += 1
            payloadBytes += try body(query, query.number(9) != 0)
        }
        return false
    }

    private func rows() throws -> Query {
        if request.filter == .all {
            return try Query(
                db,
                """
                SELECT stream_id, event_id, type, key, payload, writer, persisted_at, commit_number, metadata, kind
                FROM tidemark_events
                WHERE stream = ?1 AND stream_id > ?2 AND stream_id <= ?3 AND kind <> 1
                ORDER BY stream_id
                """)
        }
        // Keys that begin with something are compared as bytes: the length of a text is one of letters.
        let query = try Query(
            db,
            """
            SELECT stream_id, event_id, type, key, payload, writer, persisted_at, commit_number, metadata, kind
            FROM tidemark_events
            WHERE stream = ?1 AND stream_id > ?2 AND stream_id <= ?3 AND kind = 0
                AND (?4 IS NULL OR type IN (SELECT value FROM json_each(?4)))
                AND (?5 IS NULL OR key IN (SELECT value FROM json_each(?5)))
                AND (?6 IS NULL OR substr(CAST(key AS BLOB), 1, length(CAST(?6 AS BLOB))) = CAST(?6 AS BLOB))
            ORDER BY stream_id
            """)
        let texts = try FilterText.parameters(request.filter)
        for (text, index) in zip([texts.types, texts.keys, texts.keyPrefix], Int32(4)...) {
            if let text { try query.bind(text, at: index) }
        }
        return query
    }

    /// How the event at this ID is known again.
    func delivered(_ id: StreamID) throws -> Delivered {
        let delivered = try Query.first(
            db, "SELECT commit_number, event_id FROM tidemark_events WHERE stream = ? AND stream_id = ?", row.row, id
        ) { Delivered(streamID: id, mark: CommitMark($0.number(0)), eventID: $0.isNull(1) ? nil : $0.text(1)) }
        guard let delivered else {
            throw DatabaseError(resultCode: .SQLITE_CORRUPT, message: "a row is gone from its own snapshot")
        }
        return delivered
    }
}

import GRDB
import Tidemark

/// A consumer as one snapshot has it.
struct ConsumerRow {
    let name: ConsumerName
    let generation: Int
    let position: StreamID
    let delivered: DeliveredSum?
    /// The last event at or below the position; nil where there is none, or it was not kept.
    let passed: Delivered?
    let updatedAt: Int64
    /// Who claimed it last.
    let processID: Int32?
    let processFile: String?
    /// The key that was drawn with the newest claim; nil when the claim was given back.
    let key: Int64?
    /// Where it began, or was moved to.
    let start: StreamID
    let filter: EventFilter

    /// Nil when there is no such consumer.
    static func named(_ name: ConsumerName, of stream: StreamRow, in db: Database) throws -> ConsumerRow? {
        try Query.first(
            db,
            """
            SELECT name, generation, position, delivered_count, delivered_sum, passed_id, passed_commit, updated_at,
                holder_process_id, holder_process_file, claim_key, start_after, filter
            FROM tidemark_consumers WHERE stream = ? AND name = ?
            """, stream.row, name, row: ConsumerRow.init)
    }

    /// All of the stream, by name.
    static func all(of stream: StreamRow, in db: Database) throws -> [ConsumerRow] {
        try Query.all(
            db,
            """
            SELECT name, generation, position, delivered_count, delivered_sum, passed_id, passed_commit, updated_at,
                holder_process_id, holder_process_file, claim_key, start_after, filter
            FROM tidemark_consumers WHERE stream = ? ORDER BY name
            """, stream.row, row: ConsumerRow.init)
    }

    /// The newest claim; nil when there is no such consumer.
    static func generation(of name: ConsumerName, _ stream: StreamRow, in db: Database) throws -> Int? {
        try Query.first(
            db, "SELECT generation FROM tidemark_consumers WHERE stream = ? AND name = ?", stream.row, name
        ) { Int($0.number(0)) }
    }

    /// The same, and where the checkpoint is.
    static func place(
        of name: ConsumerName, _ stream: StreamRow, in db: Database
    ) throws -> (generation: Int, key: Int64?, position: StreamID)? {
        try Query.first(
            db, "SELECT generation, claim_key, position FROM tidemark_consumers WHERE stream = ? AND name = ?",
            stream.row, name
        ) { (Int($0.number(0)), $0.isNull(1) ? nil : $0.number(1), $0.streamID(2)) }
    }

    private init(_ row: Query) throws {
        name = try ConsumerName(validating: row.text(0))
        generation = Int(row.number(1))
        position = row.streamID(2)
        delivered = row.deliveredSum(3)
        passed = row.isNull(5) ? nil : Delivered(streamID: row.streamID(5), mark: CommitMark(row.number(6)))
        updatedAt = row.number(7)
        processID = row.isNull(8) ? nil : Int32(truncatingIfNeeded: row.number(8))
        processFile = row.isNull(9) ? nil : row.text(9)
        key = row.isNull(10) ? nil : row.number(10)
        start = row.streamID(11)
        do {
            filter = try FilterText.filter(row.isNull(12) ? nil : row.text(12))
        } catch {
            throw DatabaseError(resultCode: .SQLITE_CORRUPT, message: "the filter of consumer \(name) cannot be read")
        }
    }

    func claim(_ stream: StreamName) -> ConsumerClaim {
        ConsumerClaim(
            stream: stream, name: name, generation: generation, position: position, delivered: delivered,
            passed: passed,
            key: key ?? 0, filter: filter)
    }

    /// - Throws: ``TidemarkError/databaseWentBackwards(stream:id:problem:)`` where the stream has not come as far as the
    ///   checkpoint, or what the consumer has passed is not there; ``TidemarkError/pruned(stream:after:through:)``.
    func requireSameDatabase(_ row: StreamRow, _ stream: StreamName, in db: Database) throws {
        guard position <= row.sequence else {
            throw TidemarkError.databaseWentBackwards(
                stream: stream, id: position,
                problem: "consumer \(name) has come as far, but the sequence only to \(row.sequence)")
        }
        try row.pruned.require(position, in: stream)
        if let passed { try passed.require(row.holds(passed, db), in: stream, of: name) }
    }
}

extension StreamRow {
    /// Whether the event is there, with the mark of its commit, or was pruned.
    func holds(_ delivered: Delivered, _ db: Database) throws -> Bool {
        let isSame = try Query.first(
            db,
            """
            SELECT kind <> 1 AND commit_number = ?3 AND coalesce(event_id = ?4, 1) FROM tidemark_events
            WHERE stream = ?1 AND stream_id = ?2
            """, row, delivered.streamID, delivered.mark.rawValue, delivered.eventID
        ) { $0.number(0) == 1 }
        return isSame ?? pruned.mayHaveHeld(delivered)
    }

    /// The last event at or below the position, the newest that was pruned included; nil when there is none.
    func lastEvent(through position: StreamID, _ db: Database) throws -> Delivered? {
        let last = try Query.first(
            db,
            """
            SELECT stream_id, commit_number FROM tidemark_events
            WHERE stream = ? AND stream_id <= ? AND stream_id > ? AND kind <> 1 ORDER BY stream_id DESC LIMIT 1
            """, row, position, pruned.through
        ) { Delivered(streamID: $0.streamID(0), mark: CommitMark($0.number(1))) }
        if let last { return last }
        return pruned.last.flatMap { $0.streamID <= position ? $0 : nil }
    }
}

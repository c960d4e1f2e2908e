import GRDB
import Tidemark

/// A stream as one snapshot has it.
struct StreamRow {
    let row: Int64
    let sequence: StreamID
    let commitNumber: Int64
    let membershipVersion: Int
    /// How many of the first commits have numbers that are counts alone.
    let unmarkedCommits: Int64
    /// The highest epoch of names that were forgotten.
    let forgottenEpoch: Int
    /// Where the stream has gone, and where it is coming from; nil where it is here, and whole.
    let movedTo: String?
    let arrivingFrom: String?
    /// How far its index of keys has come.
    let keyIndex: KeyIndexState
    /// What was pruned.
    let pruned: PrunedPrefix

    /// Nil when the stream does not exist.
    static func named(_ name: StreamName, in db: Database) throws -> StreamRow? {
        try Query.first(
            db,
            """
            SELECT stream, sequence, commit_number, membership_version, unmarked_commits, forgotten_epoch, moved_to,
                arriving_from, keyed_from, pruned_through, pruned_id, pruned_commit, pruned_count, pruned_sum,
                pruned_newest_commit, pruned_at, forgotten_through
            FROM tidemark_streams WHERE name = ?
            """, name
        ) { row in
            StreamRow(
                row: row.number(0), sequence: row.streamID(1), commitNumber: row.number(2),
                membershipVersion: Int(row.number(3)), unmarkedCommits: row.number(4),
                forgottenEpoch: Int(row.number(5)), movedTo: row.isNull(6) ? nil : row.text(6),
                arrivingFrom: row.isNull(7) ? nil : row.text(7), keyIndex: KeyIndexState(row, column: 8),
                pruned: PrunedPrefix(row, column: 9))
        }
    }

    /// Which database it is.
    static func database(of db: Database) throws -> DatabaseID {
        DatabaseID(
            try Query.first(db, "SELECT coalesce(database_id, 0) FROM tidemark_schema") { $0.number(0) } ?? 0)
    }

    func membership(_ db: Database) throws -> Membership {
        let members = try Query.all(
            db, "SELECT instance, epoch, position, nonce FROM tidemark_instances WHERE stream = ? AND is_member = 1",
            row
        ) { row in
            let writer = Writer(try InstanceName(validating: row.text(0)), epoch: Int(row.number(1)))
            return (writer: writer, position: row.streamID(2), nonce: row.number(3))
        }
        return Membership(
            members: Dictionary(uniqueKeysWithValues: members.map { ($0.writer, $0.position) }),
            version: membershipVersion,
            // On the wire there is none below 1.
            nonces: Dictionary(uniqueKeysWithValues: members.lazy.filter { $0.nonce > 0 }.map { ($0.writer, $0.nonce) })
        )
    }

    /// The highest ID with a row, an event or a tombstone, or that had one before it was pruned; 0 when there is none.
    func newestCommitted(_ db: Database) throws -> StreamID {
        max(try Self.newestCommitted(db, row), pruned.through)
    }

    static func newestCommitted(_ db: Database, _ stream: Int64) throws -> StreamID {
        try Query.first(
            db, "SELECT stream_id FROM tidemark_events WHERE stream = ? ORDER BY stream_id DESC LIMIT 1", stream
        ) { $0.streamID(0) } ?? 0
    }

    /// The highest ID with an event, here or in a table of the user's own; 0 when there is none.
    func newestEvent(_ db: Database) throws -> StreamID {
        try newest(db)?.streamID ?? 0
    }

    /// The event with the highest ID, by which this database is known again; the newest that was pruned where none is left.
    func newest(_ db: Database) throws -> Delivered? {
        try Query.first(
            db,
            """
            SELECT stream_id, commit_number, event_id FROM tidemark_events
            WHERE stream = ? AND stream_id > ? AND kind <> 1
            ORDER BY stream_id DESC LIMIT 1
            """, row, pruned.through
        ) { newest in
            Delivered(
                streamID: newest.streamID(0), mark: CommitMark(newest.number(1)),
                eventID: newest.isNull(2) ? nil : newest.text(2))
        } ?? pruned.last
    }
}

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif
import GRDB
import Synchronization
import Tidemark

extension SQLiteEventStore {
    public func join(_ stream: StreamName, as instance: InstanceName, nonce: Int64) async throws -> Joined {
        let joined = try await transact { db in
            // Its own: it has joined already, and has not heard of it.
            if let joined = try self.joined(stream, as: instance, nonce: nonce, in: db) { return joined }
            let joined = try self.join(stream, as: instance, nonce: nonce, in: db)
            try FormerNames.forget(leftBefore: self.forgettingTime, in: db)
            return joined
        }
        commits.withLock { $0.joined(stream, as: instance) }
        return joined
    }

    public func rejoin(_ stream: StreamName, after writer: Writer, nonce: Int64) async throws -> Joined {
        let joined = try await transact { db in
            do {
                let state = try WriterState(db, stream: stream, writer: writer, store: self.path)
                if case .taken(let holder) = try state.epochState(of: writer) {
                    // Its own: it has joined already, and has not heard of it.
                    guard try Self.nonce(of: state, in: db) == nonce else {
                        throw TidemarkError.instanceTaken(stream: stream, writer: writer, by: holder)
                    }
                    if state.isMember {
                        let membership = try self.existing(stream, in: db).membership(db)
                        return Joined(writer: holder, membership: membership, position: state.position)
                    }
                }
            } catch TidemarkError.retired {
                // Its name was forgotten, and nobody has taken it since.
            }
            return try self.join(stream, as: writer.instance, nonce: nonce, in: db)
        }
        commits.withLock { $0.joined(stream, as: writer.instance) }
        return joined
    }

    /// What was answered to a join with this nonce, if it is a member still.
    private func joined(
        _ stream: StreamName, as instance: InstanceName, nonce: Int64, in db: Database
    ) throws -> Joined? {
        guard let row = try StreamRow.named(stream, in: db) else { return nil }
        let membership = try row.membership(db)
        let member = membership.members.first { $0.key.instance == instance && membership.nonces[$0.key] == nonce }
        return member.map { Joined(writer: $0.key, membership: membership, position: $0.value) }
    }

    private static func nonce(of state: WriterState, in db: Database) throws -> Int64? {
        try Query.first(db, "SELECT nonce FROM tidemark_instances WHERE writer = ?", state.writerRow) { $0.number(0) }
    }

    private func join(
        _ stream: StreamName, as instance: InstanceName, nonce: Int64, in db: Database
    ) throws -> Joined {
        let now = configuration.wallClockMilliseconds()
        let row = try makeStream(stream, in: db)
        // A backup carries none: its first join draws one.
        try Query.run(
            db, "UPDATE tidemark_schema SET database_id = random() & 0x7fffffffffffffff WHERE database_id IS NULL")
        let position = try Self.consistentSequence(row, in: db)
        try Query.run(
            db,
            """
            INSERT INTO tidemark_instances
                (stream, instance, epoch, nonce, is_member, position, heartbeat_at, process_id, process_file)
            SELECT ?1, ?2, forgotten_epoch + 1, ?7, 1, ?3, ?4, ?5, ?6
            FROM tidemark_streams WHERE stream = ?1
            ON CONFLICT (stream, instance) DO UPDATE SET
                epoch = epoch + 1, nonce = excluded.nonce, is_member = 1, left_at = NULL,
                position = excluded.position, is_closed = 0, heartbeat = heartbeat + 1,
                heartbeat_at = excluded.heartbeat_at, in_flight = 0,
                lowest_in_flight = NULL, in_flight_since = NULL, process_id = excluded.process_id,
                process_file = excluded.process_file
            """, row.row, instance, position, now, Int(getpid()), processFile.name(), nonce)
        try Query.run(
            db,
            """
            UPDATE tidemark_streams SET
                sequence = ?, previous_commit = commit_number,
                membership_version = membership_version + 1 + (random() & 0xfffff)
            WHERE stream = ?
            """, position, row.row)
        let state = try WriterState(db, stream: stream, instance: instance, store: self.path)
        let membership = try self.existing(stream, in: db).membership(db)
        return Joined(
            writer: state.newest, membership: membership, position: position,
            raisedFrom: row.sequence < position ? row.sequence : nil)
    }

    public func leave(_ stream: StreamName, as writer: Writer) async throws {
        let isLast = try await transact { db in
            do {
                let state = try WriterState(db, stream: stream, writer: writer, store: self.path)
                guard case .member = try state.epochState(of: writer) else { return false }
                try self.endEpoch(state, in: db)
            } catch TidemarkError.retired {
                // So long ago that its name was forgotten.
                return false
            }
            return try Query.first(db, "SELECT 1 FROM tidemark_instances WHERE is_member = 1 LIMIT 1") { _ in true }
                == nil
        }
        if isLast { await emptyLog() }
    }

    public func heartbeat(_ beats: [Heartbeat]) async throws -> [HeartbeatAnswer] {
        beats.isEmpty ? [] : try await writeHeartbeats(beats)
    }

    /// The stream, made where it is missing.
    func makeStream(_ stream: StreamName, in db: Database) throws -> StreamRow {
        try Schema.requireNewest(db, in: path)
        try Query.run(db, "INSERT INTO tidemark_streams (name) VALUES (?) ON CONFLICT (name) DO NOTHING", stream)
        let row = try existing(stream, in: db)
        try row.requireHere(stream, path)
        return row
    }

    func existing(_ stream: StreamName, in db: Database) throws -> StreamRow {
        guard let row = try StreamRow.named(stream, in: db) else {
            throw TidemarkError.unknownStream(stream: stream, store: path)
        }
        return row
    }

    /// A sequence that was put back by hand must not hand out IDs that have rows, or that writers have promised never
    /// to use.
    private static func consistentSequence(_ row: StreamRow, in db: Database) throws -> StreamID {
        let highestPosition = try Query.first(
            db, "SELECT max(position) FROM tidemark_instances WHERE stream = ?", row.row
        ) { $0.streamID(0) }
        return max(row.sequence, try row.newestCommitted(db), highestPosition ?? 0, row.pruned.through)
    }
}

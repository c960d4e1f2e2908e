import GRDB
import Tidemark

extension SQLiteEventStore {
    /// How long after the observation a transaction may begin; a later one, which waited for SQLite's write lock, writes nothing.
    static let closingDelay: Duration = .seconds(1)

    public func closeWriter(_ stream: StreamName, instance: InstanceName) async throws -> StreamID {
        try await transact { db in
            try Self.closeWriter(WriterState(db, stream: stream, instance: instance, store: self.path), in: db)
        }
    }

    public func closeWriter(_ stream: StreamName, observed: WriterObservation) async throws -> StreamID? {
        try await transact { db in
            try self.unchanged(observed, of: stream, in: db).map { try Self.closeWriter($0, in: db) }
        }
    }

    public func retire(_ stream: StreamName, instance: InstanceName) async throws {
        try await transact { db in
            let state = try WriterState(db, stream: stream, instance: instance, store: self.path)
            // Without membership nobody can commit under the name already.
            if state.isMember { try self.endEpoch(state, in: db) }
        }
    }

    public func retire(_ stream: StreamName, observed: WriterObservation) async throws -> Bool {
        try await transact { db in
            guard let state = try self.unchanged(observed, of: stream, in: db) else { return false }
            try self.endEpoch(state, in: db)
            return true
        }
    }

    public func checkWritable() async throws {
        try await transact { _ in }
    }

    /// The members' signs of life, with what the operating system says of their processes.
    ///
    /// - Parameter rows: as they were read at `readAt`.
    func observations(of rows: [WriterLife], readAt: Duration) -> [WriterObservation] {
        var lives = ProcessLives(processFile, removes: !configuration.readOnly)
        return rows.map { row in
            WriterObservation(
                writer: row.writer, heartbeat: row.heartbeat, position: row.position,
                isProcessGone: row.processFile.map { lives.isGone($0) } ?? false, readAt: readAt)
        }
    }

    /// The member, if it still is what was observed, and this is not too late.
    private func unchanged(
        _ observed: WriterObservation, of stream: StreamName, in db: Database
    ) throws -> WriterState? {
        let state = try WriterState(db, stream: stream, instance: observed.writer.instance, store: path)
        guard state.isMember, state.newest == observed.writer, state.position == observed.position else { return nil }
        if observed.isProcessGone { return try isStillGone(state, in: db) ? state : nil }
        let isLate = configuration.awakeTime() - observed.readAt > Self.closingDelay
        return isLate || state.heartbeat != observed.heartbeat ? nil : state
    }

    /// Its row may name another file by now.
    private func isStillGone(_ state: WriterState, in db: Database) throws -> Bool {
        let isGone = try Query.first(
            db, "SELECT process_file FROM tidemark_instances WHERE writer = ? AND process_file IS NOT NULL",
            state.writerRow
        ) { processFile.isGone($0.text(0), removes: true) }
        return isGone ?? false
    }

    private static func closeWriter(_ state: WriterState, in db: Database) throws -> StreamID {
        try Query.run(
            db,
            """
            UPDATE tidemark_instances SET is_closed = is_closed OR position < ?2, position = max(position, ?2)
            WHERE writer = ?1
            """, state.writerRow, state.sequence)
        return state.sequence
    }

    /// Nothing can be committed under the epoch from now on, so nothing of it is in flight either.
    func endEpoch(_ state: WriterState, in db: Database) throws {
        try Query.run(
            db,
            """
            UPDATE tidemark_instances SET
                epoch = epoch + 1, is_member = 0, left_at = ?2, in_flight = 0, lowest_in_flight = NULL,
                in_flight_since = NULL
            WHERE writer = ?1
            """, state.writerRow, configuration.wallClockMilliseconds())
        try Query.run(
            db,
            """
            UPDATE tidemark_streams SET
                previous_commit = commit_number, membership_version = membership_version + 1 + (random() & 0xfffff)
            WHERE stream = ?
            """, state.streamRow)
    }
}

/// Which processes are gone, looked at once each: many writers share a process.
struct ProcessLives {
    private let own: ProcessFile
    private let removes: Bool
    private var known: [String: Bool] = [:]

    /// - Parameter removes: whether a file that nobody holds is removed.
    init(_ own: ProcessFile, removes: Bool) {
        self.own = own
        self.removes = removes
    }

    mutating func isGone(_ file: String) -> Bool {
        if let known = known[file] { return known }
        let isGone = own.isGone(file, removes: removes)
        known[file] = isGone
        return isGone
    }
}

/// A member's row, with its signs of life.
struct WriterLife: Sendable {
    let writer: Writer
    let heartbeat: Int
    let position: StreamID
    let processFile: String?

    static func members(of stream: StreamRow, _ db: Database) throws -> [WriterLife] {
        try Query.all(
            db,
            """
            SELECT instance, epoch, heartbeat, position, process_file FROM tidemark_instances
            WHERE stream = ? AND is_member = 1
            """, stream.row
        ) { row in
            WriterLife(
                writer: Writer(try InstanceName(validating: row.text(0)), epoch: Int(row.number(1))),
                heartbeat: Int(row.number(2)), position: row.streamID(3),
                processFile: row.isNull(4) ? nil : row.text(4))
        }
    }
}

import GRDB
import Tidemark

extension SQLiteEventStore {
    public func status(of stream: StreamName, includingLeft: Bool) async throws -> StreamStatus? {
        let now = configuration.wallClockMilliseconds()
        return try await inSnapshot { db in
            guard let row = try StreamRow.named(stream, in: db) else { return nil }
            try row.requireHere(stream, self.path)
            let writers = try self.writers(of: row, includingLeft: includingLeft, now: now, db)
            let newestEvent = try row.newestEvent(db)
            return StreamStatus(
                stream: stream, sequence: row.sequence, newestEvent: newestEvent,
                minimumPersisted: try Self.minimumPersisted(
                    of: row, least: writers.lazy.filter(\.isMember).map(\.position).min(), db), writers: writers,
                consumers: try self.consumers(of: row, now: now, db),
                writeLockHolder: Self.isSomeoneOverdue(writers) ? self.lock.nameHolder(db) : nil,
                log: self.log.status(db), leftCount: try Self.leftCount(of: row, db),
                keyIndex: row.keyIndex, prunedThrough: row.pruned.through)
        }
    }

    private static func isSomeoneOverdue(_ writers: [StreamStatus.WriterStatus]) -> Bool {
        writers.contains { $0.isMember && .milliseconds($0.heartbeatAgeMilliseconds) > StreamStatus.silence }
    }

    private static func leftCount(of stream: StreamRow, _ db: Database) throws -> Int {
        try Query.first(
            db, "SELECT count(*) FROM tidemark_instances WHERE stream = ? AND left_at IS NOT NULL", stream.row
        ) { Int($0.number(0)) } ?? 0
    }

    private func writers(
        of stream: StreamRow, includingLeft: Bool, now: Int64, _ db: Database
    ) throws -> [StreamStatus.WriterStatus] {
        var lives = ProcessLives(processFile, removes: false)
        let members: StatementText = """
            SELECT instance, epoch, is_member, position, is_closed, in_flight, lowest_in_flight, in_flight_since,
                heartbeat_at, process_id, process_file
            FROM tidemark_instances WHERE stream = ? AND is_member = 1 ORDER BY +instance
            """
        let all: StatementText = """
            SELECT instance, epoch, is_member, position, is_closed, in_flight, lowest_in_flight, in_flight_since,
                heartbeat_at, process_id, process_file
            FROM tidemark_instances WHERE stream = ? ORDER BY instance
            """
        return try Query.all(db, includingLeft ? all : members, stream.row) { row in
            // Clocks are put back: no age is below zero.
            StreamStatus.WriterStatus(
                writer: Writer(try InstanceName(validating: row.text(0)), epoch: Int(row.number(1))),
                isMember: row.number(2) == 1, position: row.streamID(3), isClosed: row.number(4) == 1,
                inFlight: Int(row.number(5)), lowestInFlight: row.isNull(6) ? nil : row.streamID(6),
                inFlightMilliseconds: row.isNull(7) ? nil : max(0, now - row.number(7)),
                heartbeatAgeMilliseconds: max(0, now - row.number(8)),
                processID: row.isNull(9) ? nil : Int32(truncatingIfNeeded: row.number(9)),
                isProcessGone: row.number(2) == 1 && !row.isNull(10) && lives.isGone(row.text(10)))
        }
    }

    /// The least durable position over the members and, beyond it, as far as rows run without a gap. Without members
    /// nobody can commit, and everything that has a row is finished.
    static func minimumPersisted(of stream: StreamRow, least: StreamID?, _ db: Database) throws -> StreamID {
        guard let least else { return try stream.newestCommitted(db) }
        return try FinishedIDs.endOfRun(of: stream, above: least, db)
    }
}

extension SQLiteEventStore {
    /// The names of the streams that are there, in order, `limit` of them at most.
    ///
    /// - Throws: `TidemarkError`.
    public func streams(limit: Int) async throws -> [StreamName] {
        try await inSnapshot { db in
            try Query.all(db, "SELECT name FROM tidemark_streams ORDER BY name LIMIT ?", limit) { row in
                try StreamName(validating: row.text(0))
            }
        }
    }
}

import GRDB
import Synchronization
import Tidemark

/// Forgets the names of writers that left, so that a deployment which gives each process a new name does not grow for
/// ever. The events that they wrote keep the name.
///
/// No epoch of a name comes twice: the highest that was forgotten is kept with the stream, and names that are new begin
/// above it.
enum FormerNames {
    /// How many one transaction forgets at most, so that nobody waits for it.
    static let stepSize = 100
    /// A process forgets some after each so many heartbeats: once a minute by default.
    static let heartbeatsBetweenSteps = 60

    /// Forgets names whose writers left before `time`, the longest ago first.
    static func forget(leftBefore time: Int64, in db: Database) throws {
        let writers = try Query.all(
            db,
            "SELECT writer FROM tidemark_instances WHERE left_at IS NOT NULL AND left_at < ? ORDER BY left_at LIMIT ?",
            time, stepSize
        ) { $0.number(0) }
        for writer in writers { try forget(writer: writer, in: db) }
    }

    /// - Parameter writer: the row of one that is no member.
    static func forget(writer: Int64, in db: Database) throws {
        try Query.run(
            db,
            """
            UPDATE tidemark_streams SET
                forgotten_epoch = max(forgotten_epoch, w.epoch), previous_commit = commit_number
            FROM tidemark_instances w WHERE w.writer = ? AND tidemark_streams.stream = w.stream
            """, writer)
        try Query.run(
            db,
            """
            INSERT INTO tidemark_former_instances (writer, instance)
            SELECT writer, instance FROM tidemark_instances WHERE writer = ?
            """, writer)
        try Query.run(db, "DELETE FROM tidemark_instances WHERE writer = ? AND is_member = 0", writer)
    }
}

extension SQLiteEventStore: ForgettingStore {
    public func forget(_ stream: StreamName, instance: InstanceName) async throws -> Bool {
        try await transact { db in
            let state = try WriterState(db, stream: stream, instance: instance, store: self.path)
            if state.isMember { return false }
            try FormerNames.forget(writer: state.writerRow, in: db)
            return true
        }
    }

    /// In the transaction of heartbeats.
    func forgetNamesNowAndThen(in db: Database) throws {
        let count = heartbeatWrites.wrappingAdd(1, ordering: .relaxed).newValue
        guard count % FormerNames.heartbeatsBetweenSteps == 0 else { return }
        try FormerNames.forget(leftBefore: forgettingTime, in: db)
    }

    /// The time before which writers have to have left for their names to be forgotten.
    var forgettingTime: Int64 {
        let kept = configuration.formerNamesKeptFor / .milliseconds(1)
        return configuration.wallClockMilliseconds() - Int64(min(kept, 1e15))
    }
}

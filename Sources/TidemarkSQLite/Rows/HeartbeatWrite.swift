import GRDB
import Tidemark

/// Writes heartbeats down, inside a transaction.
struct HeartbeatWrite {
    let store: String
    let now: Int64
    /// The process file of the store that writes: one that was removed has been made again.
    let processFile: String?

    /// Either all beats of a request are looked at and written, or, when one of them cannot be true, none is, and the
    /// request has an error of its own. Errors of the database are thrown: they end the transaction.
    func answer(_ beats: [Heartbeat], in db: Database) throws -> Result<[HeartbeatAnswer], any Error> {
        let states: [WriterState?]
        do {
            states = try beats.map { beat in
                guard let state = try knownState(of: beat, in: db) else { return nil }
                _ = try state.epochState(of: beat.writer)
                try state.requireAllocated(max(beat.position, beat.lowestInFlight ?? 0))
                return state
            }
        } catch let error as TidemarkError {
            return .failure(error)
        }
        return .success(
            try zip(beats, states).map { beat, state in try state.map { try write(beat, $0, in: db) } ?? .retired })
    }

    /// Nil for a writer that was retired so long ago that its name was forgotten.
    private func knownState(of beat: Heartbeat, in db: Database) throws -> WriterState? {
        do {
            return try WriterState(db, stream: beat.stream, writer: beat.writer, store: store)
        } catch TidemarkError.retired {
            return nil
        }
    }

    private func write(_ beat: Heartbeat, _ state: WriterState, in db: Database) throws -> HeartbeatAnswer {
        switch try state.epochState(of: beat.writer) {
        case .retired: return .retired
        case .taken(let holder): return .taken(by: holder)
        case .member: break
        }
        let inFlightSince = beat.inFlight > 0 ? now - beat.inFlightMilliseconds : nil
        try Query.run(
            db,
            """
            UPDATE tidemark_instances SET
                is_closed = is_closed AND position > ?2, position = max(position, ?2), heartbeat = heartbeat + 1,
                heartbeat_at = ?3, in_flight = ?4, lowest_in_flight = ?5, in_flight_since = ?6,
                process_file = ?7
            WHERE writer = ?1
            """, state.writerRow, beat.position, now, beat.inFlight, beat.lowestInFlight, inFlightSince, processFile)
        return .alive(
            newestCommitted: try StreamRow.newestCommitted(db, state.streamRow),
            durablePosition: max(state.position, beat.position))
    }
}

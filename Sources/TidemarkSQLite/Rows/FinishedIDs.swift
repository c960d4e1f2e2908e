import GRDB
import Tidemark

/// The IDs that have rows, events or tombstones, or were pruned: nothing more will appear under them.
enum FinishedIDs {
    /// Runs of contiguous IDs above `minimum`, ascending; at most `limit` IDs in all, beside those that were pruned.
    static func ranges(
        of stream: StreamRow, above minimum: StreamID, limit: Int, _ db: Database
    ) throws -> [ClosedRange<StreamID>] {
        let query = try rows(of: stream, above: max(minimum, stream.pruned.through), db)
        defer { query.reset() }
        var ranges: [ClosedRange<StreamID>] = []
        if minimum < stream.pruned.through, limit > 0 {
            ranges.append(StreamID(minimum.rawValue + 1)...stream.pruned.through)
        }
        var remaining = limit
        while try remaining > 0 && query.step() {
            remaining -= 1
            let id = query.streamID(0)
            if let last = ranges.last, last.upperBound.rawValue + 1 == id.rawValue {
                ranges[ranges.count - 1] = last.lowerBound...id
            } else {
                ranges.append(id...id)
            }
        }
        return ranges
    }

    /// The last ID of the run of rows that begins right above `position`, or `position` itself.
    static func endOfRun(of stream: StreamRow, above position: StreamID, _ db: Database) throws -> StreamID {
        var end = max(position, stream.pruned.through)
        let query = try rows(of: stream, above: end, db)
        defer { query.reset() }
        while try query.step(), query.number(0) == end.rawValue + 1 { end = query.streamID(0) }
        return end
    }

    private static func rows(of stream: StreamRow, above minimum: StreamID, _ db: Database) throws -> Query {
        let query = try Query(
            db, "SELECT stream_id FROM tidemark_events WHERE stream = ?1 AND stream_id > ?2 ORDER BY stream_id")
        try query.bind(stream.row, at: 1)
        try query.bind(minimum.rawValue, at: 2)
        return query
    }
}

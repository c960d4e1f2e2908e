import GRDB
import Tidemark

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

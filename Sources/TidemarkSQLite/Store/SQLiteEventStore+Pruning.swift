import GRDB
public import Tidemark

extension SQLiteEventStore: PrunableStore {
    public func end(of extent: PruneExtent, in stream: StreamName) async throws -> StreamID {
        try await inSnapshot { db in
            let row = try self.existing(stream, in: db)
            try row.requireHere(stream, self.path)
            switch extent {
            case .through(let id): return id
            case .before:
                let first = try Query.first(
                    db,
                    """
                    SELECT stream_id FROM tidemark_events
                    WHERE stream = ? AND stream_id > ? AND kind <> 1 AND persisted_at >= ? ORDER BY stream_id LIMIT 1
                    """, row.row, row.pruned.through, extent.milliseconds
                ) { $0.streamID(0) }
                return try first.map { StreamID($0.rawValue - 1) } ?? row.newestEvent(db)
            case .keeping(let count):
                return try Query.first(
                    db,
                    """
                    SELECT stream_id FROM tidemark_events WHERE stream = ? AND stream_id > ? AND kind <> 1
                    ORDER BY stream_id DESC LIMIT 1 OFFSET ?
                    """, row.row, row.pruned.through, max(count, 0)
                ) { $0.streamID(0) } ?? 0
            }
        }
    }

    public func prune(_ request: PruneRequest) async throws -> PruneStep {
        try await transact(mayRunHere: false) { db in
            try Schema.requireNewest(db, in: self.path)
            let row = try self.existing(request.stream, in: db)
            try row.requireHere(request.stream, self.path)
            var rows = try PruneRows(request, row, in: db)
            let step = try rows.run()
            for name in rows.passedOver {
                try self.stopReader(name, of: row, in: db)
                try ProcessorRows.takeClaims(of: name, of: row, in: db)
            }
            return step
        }
    }

    /// A file that was made with `auto_vacuum` off, as those of schema version 3 and before were, keeps its free pages for new
    /// events. With all programs stopped, `sqlite3 FILE 'PRAGMA auto_vacuum = INCREMENTAL; VACUUM'` changes that once and for
    /// all.
    public func giveSpaceBack() async throws -> PrunedSpace? {
        try await transact(mayRunHere: false) { db in
            try Schema.requireNewest(db, in: self.path)
            func number(_ pragma: StatementText) throws -> Int64 {
                try Query.first(db, pragma) { $0.number(0) } ?? 0
            }
            let (mode, bytes) = (try number("PRAGMA auto_vacuum"), try number("PRAGMA page_size"))
            let before = try number("PRAGMA freelist_count")
            guard mode != 0 else { return PrunedSpace(free: before * bytes, canBeGivenBack: false) }
            if mode == 2, before > 0 {
                // So few: each page at the end of the file may have to be written at another place.
                _ = try Query.all(db, "PRAGMA incremental_vacuum(100)") { _ in }
            }
            let after = try number("PRAGMA freelist_count")
            return PrunedSpace(givenBack: (before - after) * bytes, free: after * bytes)
        }
    }

    public func pruned(of stream: StreamName) async throws -> PrunedPrefix? {
        try await inSnapshot { db in try StreamRow.named(stream, in: db)?.pruned }
    }
}

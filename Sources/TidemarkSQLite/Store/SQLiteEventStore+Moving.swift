import GRDB
import Synchronization
public import Tidemark

extension SQLiteEventStore: MovableStore {
    public func movedStream(_ stream: StreamName) async throws -> MovedStream? {
        try await inSnapshot { db in
            guard let row = try StreamRow.named(stream, in: db) else { return nil }
            let least = try row.membership(db).members.values.min()
            let epochs = try Query.all(
                db, "SELECT instance, epoch FROM tidemark_instances WHERE stream = ?", row.row
            ) { (try InstanceName(validating: $0.text(0)), Int($0.number(1))) }
            return MovedStream(
                sequence: row.sequence, newestRow: try row.newestCommitted(db),
                minimum: try Self.minimumPersisted(of: row, least: least, db),
                membershipVersion: row.membershipVersion, forgottenEpoch: row.forgottenEpoch,
                epochs: Dictionary(uniqueKeysWithValues: epochs),
                consumers: try MovedRows.consumers(of: row, db), pruned: row.pruned, movedTo: row.movedTo,
                arrivingFrom: row.arrivingFrom)
        }
    }

    public func movedRows(
        of stream: StreamName, after position: StreamID, limit: Int, byteLimit: Int
    ) async throws -> [MovedRow] {
        try await inSnapshot { db in
            guard let row = try StreamRow.named(stream, in: db) else { return [] }
            let query = try Query(
                db,
                """
                SELECT stream_id, event_id, type, key, payload, writer, persisted_at, commit_number, metadata, kind
                FROM tidemark_events WHERE stream = ?1 AND stream_id > ?2 ORDER BY stream_id
                """)
            defer { query.reset() }
            try query.bind(row.row, at: 1)
            try query.bind(position.rawValue, at: 2)
            var decoder = EventDecoder(db)
            var rows: [MovedRow] = []
            var bytes = 0
            while rows.count < limit, bytes < byteLimit, try query.step() {
                let place = try decoder.externalEvent(query)
                let content: MovedRow.Content
                switch query.number(9) {
                case 0 where place.streamID <= row.pruned.through:
                    content = .pruned(id: query.text(1), key: query.isNull(3) ? nil : query.text(3))
                case 0:
                    let event = try decoder.event(query).event
                    bytes += event.payload.count + event.metadataBytes
                    content = .event(event)
                case 1: content = .tombstone
                default: content = .externalEvent
                }
                rows.append(
                    MovedRow(
                        streamID: place.streamID, content: content, instance: place.instance,
                        persistedAtMilliseconds: place.persistedAtMilliseconds, mark: place.mark))
            }
            return rows
        }
    }

    public func moveAway(_ stream: StreamName, to destination: String) async throws {
        let now = configuration.wallClockMilliseconds()
        try await transact(mayRunHere: false) { db in
            try Schema.requireNewest(db, in: self.path)
            let row = try self.existing(stream, in: db)
            if row.movedTo == destination { return }
            try row.requireHere(stream, self.path)
            try Query.run(
                db,
                """
                UPDATE tidemark_instances SET
                    epoch = epoch + 1, is_member = 0, left_at = ?2, in_flight = 0, lowest_in_flight = NULL,
                    in_flight_since = NULL
                WHERE stream = ?1 AND is_member = 1
                """, row.row, now)
            try Query.run(
                db,
                """
                UPDATE tidemark_consumers SET
                    generation = generation + 1 + (random() & 0xfffff), holder_process_id = NULL,
                    holder_process_file = NULL
                WHERE stream = ?
                """, row.row)
            // It stays known which partitions were not given back.
            try Query.run(
                db, "UPDATE tidemark_partitions SET claim = claim + 1 + (random() & 0xfffff) WHERE stream = ?", row.row)
            try Query.run(
                db,
                """
                UPDATE tidemark_streams SET
                    moved_to = ?2, previous_commit = commit_number,
                    membership_version = membership_version + 1 + (random() & 0xfffff)
                WHERE stream = ?1
                """, row.row, destination)
        }
    }

    public func moveBack(_ stream: StreamName) async throws {
        try await transact(mayRunHere: false) { db in
            try Schema.requireNewest(db, in: self.path)
            try Query.run(
                db,
                """
                UPDATE tidemark_streams SET
                    moved_to = NULL, previous_commit = commit_number,
                    membership_version = membership_version + 1 + (random() & 0xfffff)
                WHERE name = ? AND moved_to IS NOT NULL
                """, stream)
        }
    }

    public func beginArrival(of stream: StreamName, from source: String) async throws {
        try await transact(mayRunHere: false) { db in
            try Schema.requireNewest(db, in: self.path)
            try Query.run(
                db, "INSERT INTO tidemark_streams (name, arriving_from) VALUES (?, ?) ON CONFLICT (name) DO NOTHING",
                stream, source)
            let row = try self.existing(stream, in: db)
            if row.movedTo == source {
                // It went there, and comes back with all that it had here.
                try Self.removeContents(of: row, in: db)
                try Query.run(
                    db,
                    """
                    UPDATE tidemark_streams SET
                        moved_to = NULL, arriving_from = ?2, previous_commit = commit_number, commit_number = 0,
                        unmarked_commits = 0, keyed_from = NULL, pruned_through = 0, pruned_id = NULL,
                        pruned_commit = NULL, pruned_count = 0, pruned_sum = 0, pruned_newest_commit = 0,
                        pruned_at = NULL, forgotten_through = 0
                    WHERE stream = ?1
                    """, row.row, source)
            }
            _ = try self.arriving(stream, from: source, in: db)
        }
    }

    /// - Parameter source: nil where any will do.
    func arriving(_ stream: StreamName, from source: String? = nil, in db: Database) throws -> StreamRow {
        let row = try existing(stream, in: db)
        guard let place = row.arrivingFrom else { throw TidemarkError.streamExists(stream: stream, store: path) }
        if let source, place != source {
            throw TidemarkError.streamArriving(stream: stream, store: path, from: place)
        }
        return row
    }

    public func receive(_ rows: [MovedRow], in stream: StreamName) async throws {
        guard let last = rows.last else { return }
        let now = configuration.wallClockMilliseconds()
        try await transact(mayRunHere: false) { db in
            try Schema.requireNewest(db, in: self.path)
            let stream = (name: stream, row: try self.arriving(stream, in: db))
            var states: [InstanceName: WriterState] = [:]
            var commit: Int64?
            for row in rows {
                var state: WriterState
                if let known = states[row.instance] {
                    state = known
                } else {
                    try MovedRows.makeWriter(row.instance, of: stream.row, now: now, db)
                    state = try WriterState(db, stream: stream.name, instance: row.instance, store: self.path)
                    // One number for each writer: no commit is of several.
                    if let commit { state.nextCommit = CommitNumber.next(after: commit) }
                    commit = state.nextCommit
                    states[row.instance] = state
                }
                let own = EventRows(db, state, persistedAt: row.persistedAtMilliseconds)
                switch row.content {
                case .tombstone:
                    guard try own.insertTombstone(row.streamID) else {
                        throw TidemarkError.moveFailed(
                            stream: stream.name, problem: "ID \(row.streamID) has a row in \(self.path) already")
                    }
                case .externalEvent: try own.insertOwn(row.streamID)
                case .pruned(let id, let key):
                    guard try own.insertPruned(id, key: key, row.streamID) else {
                        throw TidemarkError.moveFailed(
                            stream: stream.name, problem: "event \(id.prefix(64)) is in \(self.path) already")
                    }
                case .event(let event):
                    guard try own.insert([event], first: row.streamID) == [.persisted(row.streamID)] else {
                        throw TidemarkError.moveFailed(
                            stream: stream.name, problem: "event \(event.id.prefix(64)) is in \(self.path) already")
                    }
                }
            }
            guard var state = states[last.instance], let commit else { return }
            state.nextCommit = commit
            try state.recordCommit(db, sequence: last.streamID)
        }
    }

    public func endArrival(of stream: StreamName, as moved: MovedStream) async throws {
        let now = configuration.wallClockMilliseconds()
        try await transact(mayRunHere: false) { db in
            try Schema.requireNewest(db, in: self.path)
            let row = try self.arriving(stream, in: db)
            for (instance, epoch) in moved.epochs {
                try Query.run(
                    db,
                    """
                    INSERT INTO tidemark_instances
                        (stream, instance, epoch, nonce, is_member, left_at, position, heartbeat_at)
                    VALUES (?1, ?2, ?3, random() & 0x7fffffffffffffff, 0, ?4, 0, ?4)
                    ON CONFLICT (stream, instance) DO UPDATE SET epoch = max(epoch, excluded.epoch)
                    """, row.row, instance, epoch, now)
            }
            // Names that were forgotten there have events here: a process that takes one begins above all of them.
            try Query.run(
                db, "UPDATE tidemark_instances SET epoch = ?2 WHERE stream = ?1 AND epoch = 0", row.row,
                moved.forgottenEpoch)
            for consumer in moved.consumers {
                try Query.run(
                    db,
                    """
                    INSERT INTO tidemark_consumers
                        (stream, name, generation, position, commit_number, delivered_count, delivered_sum, updated_at,
                        passed_id, passed_commit, start_after, filter, pruned_count, pruned_sum)
                    VALUES (?1, ?2, ?3 + 1 + (random() & 0xfffff), ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
                    """, row.row, consumer.name, consumer.generation, consumer.position, row.commitNumber,
                    consumer.delivered?.count, consumer.delivered.map { Int64(bitPattern: $0.sum) }, now,
                    consumer.passed?.streamID, consumer.passed?.mark.rawValue, consumer.start,
                    try FilterText.text(consumer.filter), consumer.pruned.count,
                    Int64(bitPattern: consumer.pruned.sum))
                try MovedRows.insert(consumer.partitions, of: consumer.name, row, now: now, db)
            }
            let highest = moved.consumers.map(\.position).max() ?? 0
            try Query.run(
                db,
                """
                UPDATE tidemark_streams SET
                    sequence = max(sequence, ?2, ?3), previous_commit = commit_number,
                    forgotten_epoch = max(forgotten_epoch, ?4),
                    membership_version = max(membership_version, ?5) + 1 + (random() & 0xfffff), arriving_from = NULL
                WHERE stream = ?1
                """, row.row, moved.sequence, highest, moved.forgottenEpoch, moved.membershipVersion)
        }
    }

    public func cancelArrival(of stream: StreamName) async throws {
        try await transact(mayRunHere: false) { db in
            try Schema.requireNewest(db, in: self.path)
            guard let row = try StreamRow.named(stream, in: db) else { return }
            _ = try self.arriving(stream, in: db)
            try Self.removeContents(of: row, in: db)
            try Query.run(db, "DELETE FROM tidemark_streams WHERE stream = ?", row.row)
        }
    }

    private static func removeContents(of row: StreamRow, in db: Database) throws {
        try Query.run(db, "DELETE FROM tidemark_events WHERE stream = ?", row.row)
        try Query.run(db, "DELETE FROM tidemark_keys WHERE stream = ?", row.row)
        try Query.run(db, "DELETE FROM tidemark_pruned_keys WHERE stream = ?", row.row)
        try Query.run(db, "DELETE FROM tidemark_partitions WHERE stream = ?", row.row)
        try Query.run(db, "DELETE FROM tidemark_processes WHERE stream = ?", row.row)
        try Query.run(db, "DELETE FROM tidemark_attempts WHERE stream = ?", row.row)
        try Query.run(db, "DELETE FROM tidemark_parked WHERE stream = ?", row.row)
        try Query.run(db, "DELETE FROM tidemark_consumers WHERE stream = ?", row.row)
        try Query.run(db, "DELETE FROM tidemark_instances WHERE stream = ?", row.row)
    }
}

extension StreamRow {
    /// - Throws: `TidemarkError.streamMoved(stream:store:to:)`, `TidemarkError.streamArriving(stream:store:from:)`.
    func requireHere(_ stream: StreamName, _ store: String) throws {
        if let movedTo { throw TidemarkError.streamMoved(stream: stream, store: store, to: movedTo) }
        if let arrivingFrom {
            throw TidemarkError.streamArriving(stream: stream, store: store, from: arrivingFrom)
        }
    }
}

import GRDB
import Tidemark

extension SQLiteEventStore {
    public func takeRetries(
        partition: Int, claim: Int, of processor: ProcessorName, limit: Int
    ) async throws -> [ParkedEvent] {
        try await transact { db in
            try Schema.requireNewest(db, in: self.path)
            let rows = try ProcessorRows(processor, in: db, store: self)
            guard try rows.owns(partition, claim) else { return [] }
            var decoder = EventDecoder(db)
            let events = try Query.all(
                db,
                """
                SELECT stream_id, event_id, type, key, payload, writer, persisted_at, commit_number, metadata, kind,
                    partition, reason, attempts, problem, parked_at, is_retried
                FROM tidemark_parked
                WHERE stream = ? AND consumer = ? AND partition = ? AND is_retried = 1 ORDER BY stream_id LIMIT ?
                """, rows.stream.row, processor.consumer, partition, limit
            ) { try Self.parkedEvent($0, &decoder) }
            for event in events { try rows.setRetried(event.streamID, false) }
            return events
        }
    }

    public func endRetries(
        _ endings: [ProcessorMachine.LateEnding], of processor: ProcessorName
    ) async throws {
        try await transact(mayBeWithdrawn: false) { db in
            try Schema.requireNewest(db, in: self.path)
            let rows = try ProcessorRows(processor, in: db, store: self)
            for ending in endings where try rows.owns(ending.partition, ending.claim) {
                guard let note = ending.note else {
                    try rows.remove(ending.id)
                    continue
                }
                try Query.run(
                    db,
                    """
                    UPDATE tidemark_parked SET reason = ?4, attempts = attempts + ?5, problem = ?6
                    WHERE stream = ?1 AND consumer = ?2 AND stream_id = ?3
                    """, rows.stream.row, processor.consumer, ending.id, note.reason.rawValue, note.attempts,
                    note.problem)
            }
        }
    }

    public func parkedIDs(partition: Int, of processor: ProcessorName) async throws -> [StreamID] {
        try await inSnapshot { db in
            let rows = try ProcessorRows(processor, in: db, store: self)
            return try Query.all(
                db,
                """
                SELECT stream_id FROM tidemark_parked WHERE stream = ? AND consumer = ? AND partition = ?
                ORDER BY stream_id LIMIT 100000
                """, rows.stream.row, processor.consumer, partition
            ) { $0.streamID(0) }
        }
    }

    public func parkedEvents(
        of processor: ProcessorName, after id: StreamID, limit: Int
    ) async throws -> [ParkedEvent] {
        try await inSnapshot { db in
            let rows = try ProcessorRows(processor, in: db, store: self)
            try rows.requireConsumer()
            var decoder = EventDecoder(db)
            return try Query.all(
                db,
                """
                SELECT stream_id, event_id, type, key, payload, writer, persisted_at, commit_number, metadata, kind,
                    partition, reason, attempts, problem, parked_at, is_retried
                FROM tidemark_parked WHERE stream = ? AND consumer = ? AND stream_id > ? ORDER BY stream_id LIMIT ?
                """, rows.stream.row, processor.consumer, id, max(0, limit)
            ) { try Self.parkedEvent($0, &decoder) }
        }
    }

    public func retryParked(_ ids: [StreamID]?, of processor: ProcessorName) async throws -> Int {
        try await changeParked(
            ids, of: processor, all: "UPDATE tidemark_parked SET is_retried = 1 WHERE stream = ? AND consumer = ?"
        ) { try $0.setRetried($1, true) }
    }

    public func dropParked(_ ids: [StreamID]?, of processor: ProcessorName) async throws -> Int {
        try await changeParked(
            ids, of: processor, all: "DELETE FROM tidemark_parked WHERE stream = ? AND consumer = ?"
        ) { try $0.remove($1) }
    }

    /// - Parameter all: the statement for all that the processor has parked, where no IDs are given.
    /// - Returns: how many it were.
    private func changeParked(
        _ ids: [StreamID]?, of processor: ProcessorName, all: StatementText,
        _ change: @escaping @Sendable (ProcessorRows, StreamID) throws -> Void
    ) async throws -> Int {
        try await transact { db in
            try Schema.requireNewest(db, in: self.path)
            let rows = try ProcessorRows(processor, in: db, store: self)
            guard let ids else {
                try rows.requireConsumer()
                return try Query.run(db, all, rows.stream.row, processor.consumer)
            }
            try rows.requireParked(ids)
            for id in ids { try change(rows, id) }
            return ids.count
        }
    }

    static func parkedEvent(_ row: Query, _ decoder: inout EventDecoder) throws -> ParkedEvent {
        guard let reason = ParkedReason(rawValue: Int(row.number(11))) else {
            throw DatabaseError(resultCode: .SQLITE_CORRUPT, message: "an event is parked for no known reason")
        }
        let (partition, attempts, problem) = (Int(row.number(10)), Int(row.number(12)), row.text(13))
        if row.number(9) != 0 {
            return ParkedEvent(
                externalEvent: try decoder.externalEvent(row), partition: partition, reason: reason, attempts: attempts,
                problem: problem, parkedAtMilliseconds: row.number(14), isToBeRetried: row.number(15) == 1)
        }
        return ParkedEvent(
            event: try decoder.event(row), partition: partition, reason: reason, attempts: attempts, problem: problem,
            parkedAtMilliseconds: row.number(14), isToBeRetried: row.number(15) == 1)
    }
}

extension ProcessorRows {
    /// - Throws: ``TidemarkError/unknownConsumer(stream:consumer:known:)``.
    fileprivate func requireConsumer() throws {
        guard try ConsumerRow.named(processor.consumer, of: stream, in: db) == nil else { return }
        throw TidemarkError.unknownConsumer(
            stream: processor.stream, consumer: processor.consumer,
            known: try ConsumerRow.all(of: stream, in: db).map(\.name))
    }

    /// - Throws: ``TidemarkError/notParked(stream:consumer:ids:)``.
    fileprivate func requireParked(_ ids: [StreamID]) throws {
        try requireConsumer()
        let missing = try ids.filter { id in
            try Query.first(
                db, "SELECT 1 FROM tidemark_parked WHERE stream = ? AND consumer = ? AND stream_id = ?", stream.row,
                processor.consumer, id
            ) { _ in true } == nil
        }
        if !missing.isEmpty {
            throw TidemarkError.notParked(stream: processor.stream, consumer: processor.consumer, ids: missing)
        }
    }

    fileprivate func setRetried(_ id: StreamID, _ isRetried: Bool) throws {
        try Query.run(
            db, "UPDATE tidemark_parked SET is_retried = ?4 WHERE stream = ?1 AND consumer = ?2 AND stream_id = ?3",
            stream.row, processor.consumer, id, isRetried ? 1 : 0)
    }

    /// What was parked behind it is to be tried next.
    func remove(_ id: StreamID) throws {
        try Query.run(
            db,
            """
            UPDATE tidemark_parked SET is_retried = 1
            WHERE stream = ?1 AND consumer = ?2 AND stream_id = (
                SELECT min(n.stream_id) FROM tidemark_parked n JOIN tidemark_parked r
                    ON r.stream = n.stream AND r.consumer = n.consumer AND r.stream_id = ?3 AND r.key = n.key
                WHERE n.stream = ?1 AND n.consumer = ?2 AND n.reason = 2 AND n.stream_id > ?3)
            """, stream.row, processor.consumer, id)
        try Query.run(
            db, "DELETE FROM tidemark_parked WHERE stream = ? AND consumer = ? AND stream_id = ?", stream.row,
            processor.consumer, id)
    }
}

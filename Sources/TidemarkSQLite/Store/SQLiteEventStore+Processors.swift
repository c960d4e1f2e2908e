#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif
import GRDB
import Tidemark

extension SQLiteEventStore: ProcessorStore {
    public func openProcessor(_ processor: ProcessorName, filter: EventFilter, partitions: Int) async throws {
        precondition((1...PartitionHash.mostPartitions).contains(partitions), "\(partitions) partitions")
        try await transact { db in
            try Schema.requireNewest(db, in: self.path)
            let rows = try ProcessorRows(processor, in: db, store: self)
            guard let consumer = try ConsumerRow.named(processor.consumer, of: rows.stream, in: db) else {
                throw self.unknown(processor, try ConsumerRow.all(of: rows.stream, in: db).map(\.name))
            }
            guard consumer.filter == filter else {
                throw TidemarkError.filterDiffers(
                    stream: processor.stream, consumer: processor.consumer, stored: consumer.filter)
            }
            let found = try Query.first(
                db, "SELECT count(*), max(hash) FROM tidemark_partitions WHERE stream = ? AND consumer = ?",
                rows.stream.row, processor.consumer
            ) { (count: Int($0.number(0)), hash: $0.isNull(1) ? nil : $0.text(1)) }
            guard let found, let hash = found.hash else {
                try consumer.requireSameDatabase(rows.stream, processor.stream, in: db)
                try self.stopReader(processor.consumer, of: rows.stream, in: db)
                return try rows.make(partitions, at: consumer)
            }
            guard found.count == partitions, hash == PartitionHash.name else {
                throw TidemarkError.partitionsDiffer(
                    stream: processor.stream, consumer: processor.consumer,
                    found: "\(found.count) partitions by \(hash)", asked: "\(partitions) by \(PartitionHash.name)")
            }
        }
    }

    public func beat(_ beat: ProcessorBeat, of processor: ProcessorName) async throws -> ProcessorLook {
        let file = processFile.name()
        let (processes, partitions) = try await transact(mayRunHere: false) { db in
            try Schema.requireNewest(db, in: self.path)
            let rows = try ProcessorRows(processor, in: db, store: self)
            guard try ProcessorRows.isProcessor(processor.consumer, of: rows.stream, db) else {
                throw self.unknown(processor, try ConsumerRow.all(of: rows.stream, in: db).map(\.name))
            }
            try self.write(beat, rows, file: file)
            return (try self.processes(rows), try self.partitions(rows))
        }
        var lives = ProcessLives(processFile, removes: true)
        return ProcessorLook(
            processes: processes.map { process in
                ProcessSighting(
                    process: process.process, heartbeat: process.heartbeat,
                    isGone: process.process != beat.process && process.file.map { lives.isGone($0) } ?? false)
            }, partitions: partitions)
    }

    private func unknown(_ processor: ProcessorName, _ known: [ConsumerName]) -> TidemarkError {
        .unknownConsumer(stream: processor.stream, consumer: processor.consumer, known: known)
    }

    private func write(_ beat: ProcessorBeat, _ rows: ProcessorRows, file: String?) throws {
        let (db, stream, consumer) = (rows.db, rows.stream.row, rows.processor.consumer)
        try Query.run(
            db,
            """
            INSERT INTO tidemark_processes (stream, consumer, process, heartbeat, heartbeat_at, process_id, process_file)
            VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6)
            ON CONFLICT (stream, consumer, process) DO UPDATE SET
                heartbeat = heartbeat + 1, heartbeat_at = excluded.heartbeat_at, process_file = excluded.process_file
            """, stream, consumer, beat.process.rawValue, rows.now, Int(getpid()), file)
        for gone in beat.forgetting {
            try Query.run(
                db,
                """
                DELETE FROM tidemark_processes WHERE stream = ?1 AND consumer = ?2 AND process = ?3 AND heartbeat = ?4
                    AND NOT EXISTS (
                        SELECT 1 FROM tidemark_partitions WHERE stream = ?1 AND consumer = ?2 AND owner = ?3)
                """, stream, consumer, gone.process.rawValue, gone.heartbeat)
        }
        try Query.run(
            db,
            """
            UPDATE tidemark_partitions SET oldest_id = NULL, oldest_since = NULL
            WHERE stream = ? AND consumer = ? AND owner = ? AND oldest_id IS NOT NULL
            """, stream, consumer, beat.process.rawValue)
        for oldest in beat.oldest {
            try Query.run(
                db,
                """
                UPDATE tidemark_partitions SET oldest_id = ?5, oldest_since = ?6
                WHERE stream = ?1 AND consumer = ?2 AND owner = ?3 AND partition = ?4
                """, stream, consumer, beat.process.rawValue, oldest.partition, oldest.id,
                rows.now - oldest.milliseconds)
        }
    }

    private func processes(
        _ rows: ProcessorRows
    ) throws -> [(process: ProcessorProcess, heartbeat: Int64, file: String?)] {
        try Query.all(
            rows.db,
            "SELECT process, heartbeat, process_file FROM tidemark_processes WHERE stream = ? AND consumer = ?",
            rows.stream.row, rows.processor.consumer
        ) { (ProcessorProcess($0.number(0)), $0.number(1), $0.isNull(2) ? nil : $0.text(2)) }
    }

    private func partitions(_ rows: ProcessorRows) throws -> [PartitionSighting] {
        try Query.all(
            rows.db,
            """
            SELECT p.partition, p.owner, p.claim,
                (SELECT count(*) FROM tidemark_parked k
                    WHERE k.stream = p.stream AND k.consumer = p.consumer AND k.partition = p.partition
                    AND k.is_retried = 1), p.position
            FROM tidemark_partitions p WHERE p.stream = ? AND p.consumer = ? ORDER BY p.partition
            """, rows.stream.row, rows.processor.consumer
        ) { row in
            PartitionSighting(
                partition: Int(row.number(0)), owner: row.isNull(1) ? nil : ProcessorProcess(row.number(1)),
                claim: Int(row.number(2)), retries: Int(row.number(3)), position: row.streamID(4))
        }
    }

    public func claimPartitions(
        _ observed: [PartitionObservation], of processor: ProcessorName, by process: ProcessorProcess
    ) async throws -> [ProcessorMachine.Claimed] {
        try await transact { db in
            try Schema.requireNewest(db, in: self.path)
            let rows = try ProcessorRows(processor, in: db, store: self)
            return try observed.compactMap { observed in
                try rows.claim(observed, by: process) { self.processFile.isGone($0, removes: false) }
            }
        }
    }

    public func checkpoint(
        _ checkpoints: [ProcessorMachine.Checkpoint], of processor: ProcessorName
    ) async throws -> [Bool] {
        // What was handled stays handled, also where the processor was cancelled meanwhile.
        try await transact(mayRunHere: false, mayBeWithdrawn: false) { db in
            try Schema.requireNewest(db, in: self.path)
            let rows = try ProcessorRows(processor, in: db, store: self)
            let answers = try checkpoints.map { checkpoint in
                guard try rows.owns(checkpoint.partition, checkpoint.claim) else { return false }
                if let passage = checkpoint.passage {
                    guard try rows.pass(passage, partition: checkpoint.partition, claim: checkpoint.claim) else {
                        return false
                    }
                }
                if checkpoint.releases { try rows.release(checkpoint.partition) }
                return true
            }
            if answers.contains(true) { try rows.moveConsumer() }
            return answers
        }
    }

    public func countStarts(
        _ counts: [ProcessorMachine.Count], of processor: ProcessorName
    ) async throws -> [[StreamID: Int]?] {
        try await transact(mayBeWithdrawn: false) { db in
            try Schema.requireNewest(db, in: self.path)
            let rows = try ProcessorRows(processor, in: db, store: self)
            return try counts.map { count in
                guard try rows.owns(count.partition, count.claim) else { return nil }
                var started: [StreamID: Int] = [:]
                for id in count.ids {
                    started[id] = try Query.first(
                        db,
                        """
                        INSERT INTO tidemark_attempts (stream, consumer, partition, stream_id, attempts)
                        VALUES (?1, ?2, ?3, ?4, 1)
                        ON CONFLICT (stream, consumer, partition, stream_id) DO UPDATE SET attempts = attempts + 1
                        RETURNING attempts
                        """, rows.stream.row, processor.consumer, count.partition, id
                    ) { Int($0.number(0)) }
                }
                return started
            }
        }
    }

    public func leaveProcessor(_ processor: ProcessorName, process: ProcessorProcess) async throws {
        try await transact(mayBeWithdrawn: false) { db in
            try Schema.requireNewest(db, in: self.path)
            let rows = try ProcessorRows(processor, in: db, store: self)
            // What it owns still has an owner that is not there: others take it, as after a crash.
            try Query.run(
                db, "DELETE FROM tidemark_processes WHERE stream = ? AND consumer = ? AND process = ?", rows.stream.row,
                processor.consumer, process.rawValue)
        }
    }
}

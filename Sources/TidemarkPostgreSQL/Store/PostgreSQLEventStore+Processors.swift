#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif
import Foundation
public import Tidemark

extension PostgreSQLEventStore: ProcessorStore {
    private func subject(_ processor: ProcessorName) -> CallSubject {
        CallSubject(processor.stream, consumer: processor.consumer)
    }

    /// Calls one of the functions for processors, which take its name first.
    private func call<Value: Sendable>(
        _ function: String, of processor: ProcessorName, _ parameters: [PostgresValue],
        _ repeating: Repeating = .onlyIfUndone, _ read: @escaping @Sendable (PostgresRows) throws -> Value
    ) async throws -> Value {
        let names = (1...(parameters.count + 2)).map { "$\($0)" }.joined(separator: ", ")
        return try await exclude(
            subject(processor), "SELECT * FROM \(namespace.function(function))(\(names))",
            [.text(processor.stream.rawValue), .text(processor.consumer.rawValue)] + parameters, repeating, read)
    }

    public func openProcessor(_ processor: ProcessorName, filter: EventFilter, partitions: Int) async throws {
        precondition((1...PartitionHash.mostPartitions).contains(partitions), "\(partitions) partitions")
        let (count, hash) = try await call(
            "open_processor_1", of: processor,
            [.text(try FilterText.text(filter)), .int32(Int32(partitions)), .text(PartitionHash.name)], .always
        ) { (Int(try $0.int64(0, 0)), try $0.text(0, 1)) }
        guard count == partitions, hash == PartitionHash.name else {
            throw TidemarkError.partitionsDiffer(
                stream: processor.stream, consumer: processor.consumer, found: "\(count) partitions by \(hash)",
                asked: "\(partitions) by \(PartitionHash.name)")
        }
    }

    public func beat(_ beat: ProcessorBeat, of processor: ProcessorName) async throws -> ProcessorLook {
        let look = try await call(
            "beat_processor_1", of: processor,
            [
                .int64(beat.process.rawValue), .int32(getpid()), .int64(lifeKey),
                .int64s(beat.forgetting.map(\.process.rawValue)), .int64s(beat.forgetting.map(\.heartbeat)),
                .int64s(beat.oldest.map { Int64($0.partition) }), .int64s(beat.oldest.map(\.id.rawValue)),
                .int64s(beat.oldest.map(\.milliseconds)),
            ], .always
        ) { try Self.decoded(LookRow.self, $0) }
        return ProcessorLook(
            processes: (look.processes ?? []).map {
                ProcessSighting(process: ProcessorProcess($0.process), heartbeat: $0.heartbeat, isGone: $0.isGone)
            },
            partitions: (look.partitions ?? []).map {
                PartitionSighting(
                    partition: $0.partition, owner: $0.owner.map { ProcessorProcess($0) }, claim: $0.claim,
                    retries: $0.retries, position: StreamID($0.position))
            })
    }

    public func claimPartitions(
        _ observed: [PartitionObservation], of processor: ProcessorName, by process: ProcessorProcess
    ) async throws -> [ProcessorMachine.Claimed] {
        let rows = try await call(
            "claim_partitions_1", of: processor,
            [
                .int64(process.rawValue), .int64s(observed.map { Int64($0.partition) }),
                .int64s(observed.map { Int64($0.claim) }), .int64s(observed.map(\.owner?.rawValue)),
                .int64s(observed.map(\.heartbeat)),
            ]
        ) { try Self.decoded([ClaimRow].self, $0) }
        return rows.map(\.claimed)
    }

    public func checkpoint(
        _ checkpoints: [ProcessorMachine.Checkpoint], of processor: ProcessorName
    ) async throws -> [Bool] {
        let passages = checkpoints.map(\.passage)
        let notes = checkpoints.flatMap { checkpoint in
            (checkpoint.passage?.parked ?? []).map { (partition: Int64(checkpoint.partition), note: $0) }
        }
        let answers = try await call(
            "checkpoint_partitions_1", of: processor,
            [
                .int64s(checkpoints.map { Int64($0.partition) }), .int64s(checkpoints.map { Int64($0.claim) }),
                .int64s(passages.map(\.?.begin.rawValue)), .int64s(passages.map(\.?.position.rawValue)),
                .byteStrings(passages.map(\.?.snapshot?.bytes)),
                .int64s(passages.map(\.?.delivered?.count)),
                .int64s(passages.map { $0?.delivered.map { Int64(bitPattern: $0.sum) } }),
                .int64s(passages.map(\.?.passed?.streamID.rawValue)),
                .int64s(passages.map(\.?.passed?.mark.rawValue)), .bools(checkpoints.map(\.releases)),
                .int64s(notes.map(\.partition)), .int64s(notes.map(\.note.id.rawValue)),
                .int64s(notes.map { Int64($0.note.reason.rawValue) }), .int64s(notes.map { Int64($0.note.attempts) }),
                .texts(notes.map { Self.storable($0.note.problem) }),
            ]
        ) { try $0.int64s(0, 0) }
        return answers.map { $0 == 1 }
    }

    /// The server keeps no text with a NUL.
    static func storable(_ text: String) -> String { text.replacing("\0", with: "\u{fffd}") }

    public func countStarts(
        _ counts: [ProcessorMachine.Count], of processor: ProcessorName
    ) async throws -> [[StreamID: Int]?] {
        let events = counts.flatMap { count in count.ids.map { (count: count, id: $0) } }
        let answers = try await call(
            "count_starts_1", of: processor,
            [
                .int64s(events.map { Int64($0.count.partition) }), .int64s(events.map { Int64($0.count.claim) }),
                .int64s(events.map(\.id.rawValue)),
            ]
        ) { try $0.int64s(0, 0) }
        var rest = answers[...]
        return counts.map { count in
            var started: [StreamID: Int]? = [:]
            for (id, answer) in zip(count.ids, rest.prefix(count.ids.count)) {
                if answer == 0 { started = nil } else { started?[id] = Int(answer) }
            }
            rest = rest.dropFirst(count.ids.count)
            return started
        }
    }

    public func leaveProcessor(_ processor: ProcessorName, process: ProcessorProcess) async throws {
        try await call("leave_processor_1", of: processor, [.int64(process.rawValue)], .always) { _ in }
    }

    // MARK: What is parked

    static let parkedColumns = "partition, reason, attempts, problem, parked_at, is_retried"

    public func takeRetries(
        partition: Int, claim: Int, of processor: ProcessorName, limit: Int
    ) async throws -> [ParkedEvent] {
        let sql = """
            SELECT \(EventRows.columns), \(Self.parkedColumns)
            FROM \(namespace.function("take_retries_1"))($1, $2, $3, $4, $5)
            """
        let parameters: [PostgresValue] = [
            .text(processor.stream.rawValue), .text(processor.consumer.rawValue), .int32(Int32(partition)),
            .int64(Int64(claim)), .int32(Int32(clamping: limit)),
        ]
        do {
            return try await pool.perform { [names, namespace] session in
                let rows = try session.transaction { try $0.query(sql, parameters) }
                return try Self.parkedEvents(rows, EventRows(rows, names, session, namespace))
            }
        } catch {
            throw errors.tidemarkError(error, subject(processor))
        }
    }

    public func endRetries(_ endings: [ProcessorMachine.LateEnding], of processor: ProcessorName) async throws {
        try await call(
            "end_retries_1", of: processor,
            [
                .int64s(endings.map { Int64($0.partition) }), .int64s(endings.map { Int64($0.claim) }),
                .int64s(endings.map(\.id.rawValue)), .int64s(endings.map { $0.note.map { Int64($0.reason.rawValue) } }),
                .int64s(endings.map { $0.note.map { Int64($0.attempts) } }),
                .texts(endings.map { $0.note.map { Self.storable($0.problem) } }),
            ]
        ) { _ in }
    }

    public func parkedIDs(partition: Int, of processor: ProcessorName) async throws -> [StreamID] {
        let sql = """
            SELECT k.stream_id FROM \(namespace.quoted).parked k
            JOIN \(namespace.quoted).streams s ON s.stream = k.stream
            WHERE s.name = $1 AND k.consumer = $2 AND k.partition = $3 ORDER BY k.stream_id LIMIT 100000
            """
        return try await inSnapshot(subject(processor)) { session in
            let rows = try session.query(
                sql,
                [
                    .text(processor.stream.rawValue), .text(processor.consumer.rawValue), .int32(Int32(partition)),
                ])
            return try (0..<rows.count).map { StreamID(try rows.int64($0, 0)) }
        }
    }

    public func parkedEvents(
        of processor: ProcessorName, after id: StreamID, limit: Int
    ) async throws -> [ParkedEvent] {
        let stream = "(SELECT s.stream FROM \(namespace.quoted).streams s WHERE s.name = $1)"
        let consumers = "SELECT name FROM \(namespace.quoted).consumers WHERE stream = \(stream) ORDER BY name"
        let parked = """
            SELECT \(EventRows.columns), \(Self.parkedColumns) FROM \(namespace.quoted).parked
            WHERE stream = \(stream) AND consumer = $2 AND stream_id > $3 ORDER BY stream_id LIMIT $4
            """
        let streams = "SELECT 1 FROM \(namespace.quoted).streams WHERE name = $1"
        let name = PostgresValue.text(processor.stream.rawValue)
        return try await inSnapshot(subject(processor)) { [names, namespace, description] session in
            guard try session.query(streams, [name]).count > 0 else {
                throw TidemarkError.unknownStream(stream: processor.stream, store: description)
            }
            let known = try session.query(consumers, [name])
            let all = try (0..<known.count).map { try ConsumerName(validating: known.text($0, 0)) }
            guard all.contains(processor.consumer) else {
                throw TidemarkError.unknownConsumer(
                    stream: processor.stream, consumer: processor.consumer, known: all)
            }
            let rows = try session.query(
                parked, [name, .text(processor.consumer.rawValue), .int64(id.rawValue), .int64(Int64(max(0, limit)))])
            return try Self.parkedEvents(rows, EventRows(rows, names, session, namespace))
        }
    }

    public func retryParked(_ ids: [StreamID]?, of processor: ProcessorName) async throws -> Int {
        try await changeParked(ids, of: processor, drops: false)
    }

    public func dropParked(_ ids: [StreamID]?, of processor: ProcessorName) async throws -> Int {
        try await changeParked(ids, of: processor, drops: true)
    }

    private func changeParked(_ ids: [StreamID]?, of processor: ProcessorName, drops: Bool) async throws -> Int {
        let chosen: PostgresValue = ids.map { .int64s($0.map(\.rawValue)) } ?? .null
        let answer = try await call("change_parked_1", of: processor, [chosen, .bool(drops)]) { try $0.int64s(0, 0) }
        let missing = answer.filter { $0 < 0 }.map { StreamID(-$0) }
        if !missing.isEmpty {
            throw TidemarkError.notParked(stream: processor.stream, consumer: processor.consumer, ids: missing)
        }
        return Int(answer.first ?? 0)
    }

    static func parkedEvents(_ rows: PostgresRows, _ events: EventRows) throws -> [ParkedEvent] {
        var events = events
        return try (0..<rows.count).map { row in
            guard let reason = ParkedReason(rawValue: Int(try rows.int64(row, 11))) else { throw UnknownReason() }
            let (partition, attempts) = (Int(try rows.int64(row, 10)), Int(try rows.int64(row, 12)))
            let (problem, parkedAt) = (try rows.text(row, 13), try rows.milliseconds(row, 14))
            if try events.isExternal(row) {
                return ParkedEvent(
                    externalEvent: try events.externalEvent(row), partition: partition, reason: reason,
                    attempts: attempts,
                    problem: problem, parkedAtMilliseconds: parkedAt, isToBeRetried: try rows.bool(row, 15))
            }
            return ParkedEvent(
                event: try events.event(row), partition: partition, reason: reason, attempts: attempts,
                problem: problem, parkedAtMilliseconds: parkedAt, isToBeRetried: try rows.bool(row, 15))
        }
    }

    private static func decoded<Value: Decodable>(_: Value.Type, _ rows: PostgresRows) throws -> Value {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(Value.self, from: Data(rows.text(0, 0).utf8))
    }
}

/// An event is parked for a reason that Tidemark does not know: the row was not written by it.
private struct UnknownReason: Error, CustomStringConvertible {
    let description = "an event is parked for no known reason"
}

/// What `beat_processor_1` returns.
private struct LookRow: Decodable, Sendable {
    struct Process: Decodable {
        let process: Int64
        let heartbeat: Int64
        let isGone: Bool
    }

    struct Partition: Decodable {
        let partition: Int
        let owner: Int64?
        let claim: Int
        let retries: Int
        let position: Int64
    }

    let processes: [Process]?
    let partitions: [Partition]?
}

/// What `claim_partitions_1` returns of each.
private struct ClaimRow: Decodable, Sendable {
    struct Attempts: Decodable {
        let id: Int64
        let attempts: Int
    }

    struct Parked: Decodable {
        let id: Int64
        let key: String
    }

    let partition: Int
    let claim: Int
    let position: Int64
    let deliveredCount: Int64?
    let deliveredSum: Int64?
    let passedId: Int64?
    let passedMark: Int64?
    let uncleanThrough: Int64?
    let attempts: [Attempts]
    let parked: [Parked]

    var claimed: ProcessorMachine.Claimed {
        let passed = passedId.flatMap { id in
            passedMark.map { Delivered(streamID: StreamID(id), mark: CommitMark($0)) }
        }
        let delivered = deliveredCount.flatMap { count in
            deliveredSum.map { DeliveredSum(count: count, sum: UInt64(bitPattern: $0)) }
        }
        return ProcessorMachine.Claimed(
            partition: partition, claim: claim, position: StreamID(position), delivered: delivered, passed: passed,
            uncleanThrough: uncleanThrough.map { StreamID($0) },
            attempts: Dictionary(attempts.map { (StreamID($0.id), $0.attempts) }) { $1 },
            // By their bytes: Swift takes different ones for the same text.
            held: Dictionary(grouping: parked) { Array($0.key.utf8) }.mapValues { $0.map { StreamID($0.id) } })
    }
}

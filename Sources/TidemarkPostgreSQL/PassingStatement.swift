import Foundation
public import Tidemark

/// The one statement that passes an event of a processor in a transaction of the user's own, for whatever client begins and
/// commits that.
///
/// It runs in a transaction with `READ COMMITTED`, as the last one before the COMMIT: from it on nobody else writes anything of the
/// processor. What the handler has written and the event's being passed are both there then, or neither. Otherwise the server
/// ends the transaction, which can only be rolled back then, with one of these states, and the handler throws what its client
/// throws:
///
/// | SQLSTATE | |
/// |---|---|
/// | `TM022` | the event was dealt with before, in a transaction whose answer was lost |
/// | `TM010` | another process has the partition, or a promotion has lost what was passed of it |
/// | `TM008` | the database was put back |
/// | `TM025` | the database has lost commits, and hands out IDs that were passed again |
/// | `TM001` | the transaction has another isolation level |
///
/// No savepoint may lie around it, as with a ``CheckpointStatement``.
public struct PassingStatement: Hashable, Sendable {
    /// With the parameters `$1` to `$13`, each of which is taken as text.
    public let sql: String
    /// The values of the parameters, in their order; nil is NULL.
    public let arguments: [String?]

    /// What is parked with the event's being passed, as the function takes it.
    private struct Note: Encodable {
        let id: Int64
        let reason: Int
        let attempts: Int
        let problem: String
    }

    init(_ start: ProcessorMachine.Start, of processor: ProcessorName, _ namespace: PostgresNamespace) throws {
        func text(_ number: Int64?) -> String? { number.map { "\($0)" } }
        let passage = start.passage
        let notes = (passage?.parked ?? []).map { note in
            Note(
                id: note.id.rawValue, reason: note.reason.rawValue, attempts: note.attempts,
                problem: PostgreSQLEventStore.storable(note.problem))
        }
        sql = """
            SELECT \(namespace.function("pass_event_1"))(
                $1::text, $2::text, $3::text::bigint, $4::text::bigint, $5::text::bigint, $6::text::bigint,
                $7::text::boolean, convert_to($8::text, 'UTF8'), $9::text::bigint, $10::text::bigint, $11::text::bigint,
                $12::text::bigint, $13::text)
            """
        arguments = [
            processor.stream.rawValue, processor.consumer.rawValue, "\(start.partition)", "\(start.claim)",
            text(passage?.begin.rawValue), "\(start.id)", start.isLate ? "true" : "false",
            passage?.snapshot.map { String(decoding: $0.bytes, as: UTF8.self) }, text(passage?.delivered?.count),
            text(passage?.delivered.map { Int64(bitPattern: $0.sum) }), text(passage?.passed?.streamID.rawValue),
            text(passage?.passed?.mark.rawValue),
            notes.isEmpty ? nil : String(decoding: try JSONEncoder().encode(notes), as: UTF8.self),
        ]
    }
}

extension EventLog {
    /// A processor whose handler commits what it makes of an event, in a transaction of its own in the same database, together
    /// with the event's being passed: so that is there exactly once, however its process ends.
    ///
    /// The handler begins a transaction with whatever client it has, writes, runs the statement that it is given, and commits.
    /// What it throws counts as a failure, unless the event turns out to be passed: its COMMIT may have been done though the
    /// answer was lost. A handler that returns and has not committed the statement has failed too.
    ///
    /// The events of a partition are handled one after another, in order; those of different partitions at the same time, except
    /// from the statement to the COMMIT.
    public func processor(
        _ name: ConsumerName, from start: ConsumerStart = .beginning, filter: EventFilter = .all,
        configuration: ProcessorConfiguration = ProcessorConfiguration(),
        handleInOwnTransaction handle: @escaping @Sendable (PersistedEvent, PassingStatement) async throws -> Void
    ) -> EventProcessor {
        processor(name, from: start, filter: filter, configuration: configuration, on: "PostgreSQL") {
            (store: PostgreSQLEventStore, event, start, processor) in
            try await store.handle(event, start, of: processor, handle)
        }
    }
}

extension PostgreSQLEventStore {
    fileprivate func handle(
        _ event: PersistedEvent, _ start: ProcessorMachine.Start, of processor: ProcessorName,
        _ handle: @Sendable (PersistedEvent, PassingStatement) async throws -> Void
    ) async throws {
        let statement = try PassingStatement(start, of: processor, namespace)
        let thrown: (any Error)?
        do {
            try await handle(event, statement)
            thrown = nil
        } catch {
            thrown = error
        }
        // A COMMIT of the handler's that comes later than this refuses, or makes the next try refuse.
        let isPassed: Bool?
        do { isPassed = try await self.isPassed(start, of: processor) } catch { throw UnknownOutcome("\(error)") }
        switch isPassed {
        case true: return
        case false:
            throw thrown
                ?? TidemarkError.unsuitableTransaction(
                    store: description,
                    problem:
                        "the handler of \(processor.consumer) has returned, and not committed the statement that passes "
                        + "event \(start.id)")
        // What the database has is read again with the next claim.
        case nil: throw UnknownOutcome("another process has its partition" + (thrown.map { "; \($0)" } ?? ""))
        }
    }

    /// Nil where the claim is not the newest, or what was passed before is lost.
    private func isPassed(_ start: ProcessorMachine.Start, of processor: ProcessorName) async throws -> Bool? {
        let name = namespace.quoted
        let rows = try await pool.query(
            """
            SELECT CASE WHEN $4 THEN NOT EXISTS (
                SELECT FROM \(name).parked k
                WHERE k.stream = p.stream AND k.consumer = p.consumer AND k.stream_id = $5) ELSE p.position >= $5 END
            FROM \(name).partitions p JOIN \(name).streams s ON s.stream = p.stream
            WHERE s.name = $1 AND p.consumer = $2 AND p.partition = $3::bigint AND p.claim = $6 AND p.owner IS NOT NULL
                AND p.position >= $7
            """,
            [
                .text(processor.stream.rawValue), .text(processor.consumer.rawValue), .int64(Int64(start.partition)),
                .bool(start.isLate), .int64(start.id.rawValue), .int64(Int64(start.claim)),
                .int64(start.passage?.begin.rawValue ?? 0),
            ]
        ) { $0 }
        return rows.count == 0 ? nil : try rows.bool(0, 0)
    }
}

import Logging
import TestSupport
import Testing
import Tidemark

@testable import TidemarkPostgreSQL

/// Checkpoints that move in transactions of a client of the user's own.
@Suite(.enabled(if: TestCluster.isAvailable)) struct CheckpointStatementTests {
    /// A log with three events, a consumer that reads two at a time, and a table of what was made of each.
    private func withLog(
        _ body: (EventLog, DurableConsumer, PostgresConfiguration) async throws -> Void
    ) async throws {
        try await withStore { store, configuration in
            try await connecting(configuration) { _ = try $0.query("CREATE TABLE applied (event text)") }
            var settings = EventLogConfiguration()
            settings.closesSilentWriters = false
            settings.batchEvents = 2
            let log = try await EventLog.open(
                store, stream: stream, instance: "p1", configuration: settings,
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            try await log.persist(events("a", "b", "c"))
            try await body(log, try await log.consumer("model"), configuration)
            await log.shutDown()
        }
    }

    /// The transaction of the user: what is made of the batch, and its checkpoint.
    private func dealWith(
        _ batch: EventBatch, _ consumer: DurableConsumer, _ configuration: PostgresConfiguration,
        begin: String = "BEGIN", end: String = "COMMIT", swallows: Bool = false
    ) async throws {
        let statement = try consumer.checkpointStatement(batch)
        let ids = batch.events.map(\.event.id)
        try await connecting(configuration) { session in
            _ = try session.query(begin)
            for id in ids { _ = try session.query("INSERT INTO applied VALUES ($1)", [.text(id)]) }
            do {
                _ = try session.query(statement.sql, statement.arguments.map { .text($0) })
            } catch  where swallows {
            } catch {
                _ = try session.query("ROLLBACK")
                throw error
            }
            _ = try session.query(end)
        }
    }

    private func applied(_ configuration: PostgresConfiguration) async throws -> [String] {
        try await connecting(configuration) { session in
            let rows = try session.query("SELECT event FROM applied ORDER BY event")
            return try (0..<rows.count).map { try rows.text($0, 0) }
        }
    }

    private func state(_ error: (any Error)?) -> String? { (error as? PostgresError)?.sqlState }

    @Test func `what is made of a batch and its checkpoint are committed together, or neither`() async throws {
        try await withLog { log, consumer, configuration in
            var batches = consumer.events.makeAsyncIterator()
            let first = try #require(try await batches.next())
            try await dealWith(first, consumer, configuration, end: "ROLLBACK")
            #expect(try await applied(configuration).isEmpty)
            #expect(try await log.consumers().map(\.position) == [0])
            try await dealWith(first, consumer, configuration)
            try await dealWith(try #require(try await batches.next()), consumer, configuration)
            #expect(try await applied(configuration) == ["a", "b", "c"])
            #expect(try await log.consumers().map(\.position) == [3])
            let audit = try await consumer.audit()
            #expect(audit.isComplete && audit.delivered == 3)
        }
    }

    //  loop                              server
    //  applies the batch, COMMIT
    //                                    has committed; the answer is lost
    //  runs the same batch again
    @Test func `a batch whose COMMIT was not answered is not applied twice, also where the error is swallowed`()
        async throws
    {
        try await withLog { log, consumer, configuration in
            var batches = consumer.events.makeAsyncIterator()
            let batch = try #require(try await batches.next())
            try await dealWith(batch, consumer, configuration)
            let error = await #expect(throws: PostgresError.self) {
                try await dealWith(batch, consumer, configuration)
            }
            #expect(state(error) == "TM022")
            // The server makes a ROLLBACK of a COMMIT after an error.
            try await dealWith(batch, consumer, configuration, swallows: true)
            #expect(try await applied(configuration) == ["a", "b"])
        }
    }

    @Test func `the server says why it refuses a batch`() async throws {
        try await withLog { log, consumer, configuration in
            var batches = consumer.events.makeAsyncIterator()
            let first = try #require(try await batches.next())
            let second = try #require(try await batches.next())
            func refusal(_ batch: EventBatch, begin: String = "BEGIN") async -> String? {
                do {
                    try await dealWith(batch, consumer, configuration, begin: begin)
                    return nil
                } catch {
                    return state(error)
                }
            }
            #expect(await refusal(second) == "TM023")
            #expect(await refusal(first, begin: "BEGIN ISOLATION LEVEL REPEATABLE READ") == "TM001")
            #expect(await refusal(first) == nil)
            #expect(await refusal(first) == "TM022")
            try await connecting(configuration) {
                _ = try $0.query("UPDATE tidemark.consumers SET claim_key = claim_key # 1")
            }
            #expect(await refusal(second) == "TM010")
            _ = try await log.consumer("model")
            #expect(await refusal(second) == "TM010")
            #expect(try await applied(configuration) == ["a", "b"])
        }
    }

    @Test func `a batch that nobody has read has no statement`() async throws {
        try await withLog { _, consumer, _ in
            let batch = EventBatch(events: [], through: 1, snapshot: SnapshotMark(bytes: []))
            #expect(throws: TidemarkError.self) { try consumer.checkpointStatement(batch) }
        }
    }
}

import GRDB
import Logging
import Synchronization
import TestSupport
import Testing
import Tidemark
@testable import TidemarkSQLite

/// Checkpoints that move in transactions of the user's own.
@Suite struct OwnCheckpointTests {
    private let folder: TemporaryFolder
    private let store: SQLiteEventStore
    private let log: EventLog

    /// A log with three events, and a table that counts what was made of each.
    init() async throws {
        folder = try TemporaryFolder()
        store = try await folder.open()
        try await store.write { db in
            try db.execute(sql: "CREATE TABLE applied (event TEXT NOT NULL) STRICT")
        }
        var configuration = EventLogConfiguration()
        configuration.closesSilentWriters = false
        configuration.batchEvents = 2
        log = try await EventLog.open(
            store, stream: stream, instance: "p1", configuration: configuration,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        try await log.persist(events("a", "b", "c"))
    }

    private static func apply(_ batch: EventBatch, in db: Database) throws {
        for event in batch.events {
            try db.execute(sql: "INSERT INTO applied VALUES (?)", arguments: [event.event.id])
        }
    }

    private func dealWith(_ batch: EventBatch, _ consumer: DurableConsumer) async throws {
        try await store.write { db in
            try Self.apply(batch, in: db)
            try consumer.checkpoint(batch, in: db)
        }
    }

    private func applied() async throws -> [String] {
        try await store.read { try String.fetchAll($0, sql: "SELECT event FROM applied ORDER BY rowid") }
    }

    private func position() async throws -> StreamID? {
        try await log.consumers().first { $0.name == "model" }?.position
    }

    @Test func `what is made of a batch and its checkpoint are committed together`() async throws {
        let consumer = try await log.consumer("model")
        var batches = consumer.events.makeAsyncIterator()
        for expected in [["a", "b"], ["a", "b", "c"]] {
            let batch = try #require(try await batches.next())
            try await dealWith(batch, consumer)
            #expect(try await applied() == expected)
            #expect(try await position() == batch.through)
        }
        let audit = try await consumer.audit()
        #expect(audit.isComplete && audit.delivered == 3)
        #expect(try await log.consumer("model").claim.delivered?.count == 3)
        await log.shutDown()
    }

    @Test func `a transaction that is rolled back moves no checkpoint, and its batch comes again`() async throws {
        struct Stop: Error {}
        let consumer = try await log.consumer("model")
        var batches = consumer.events.makeAsyncIterator()
        let batch = try #require(try await batches.next())
        await #expect(throws: Stop.self) {
            try await store.write { db in
                try Self.apply(batch, in: db)
                try consumer.checkpoint(batch, in: db)
                throw Stop()
            }
        }
        #expect(try await applied().isEmpty)
        #expect(try await position() == 0)
        try await dealWith(batch, consumer)
        #expect(try await applied() == ["a", "b"])
        await log.shutDown()
    }

    //  loop                              database
    //  applies the batch, COMMIT
    //                                    has committed; the answer is lost
    //  runs the same batch again
    @Test func `a batch whose COMMIT was not answered is not applied twice`() async throws {
        struct NoAnswer: Error {}
        let consumer = try await log.consumer("model")
        var batches = consumer.events.makeAsyncIterator()
        let batch = try #require(try await batches.next())
        var attempts = 0
        let passed = TidemarkError.alreadyPassed(stream: stream, consumer: "model", begin: 0, checkpoint: 2)
        await #expect(throws: passed) {
            while attempts < 3 {
                attempts += 1
                do {
                    try await dealWith(batch, consumer)
                    throw NoAnswer()
                } catch is NoAnswer {
                    continue
                }
            }
        }
        #expect(attempts == 2)
        #expect(try await applied() == ["a", "b"])
        // A new reader goes on behind it.
        let again = try await log.consumer("model")
        var rest = again.events.makeAsyncIterator()
        try await dealWith(try #require(try await rest.next()), again)
        #expect(try await applied() == ["a", "b", "c"])
        await log.shutDown()
    }

    /// How somebody may lose the error.
    enum Swallowing: CaseIterable { case caught, savepoint }

    @Test(arguments: Swallowing.allCases)
    func `after an error the transaction does not commit, also where the error is swallowed`(
        _ swallowing: Swallowing
    ) async throws {
        let consumer = try await log.consumer("model")
        var batches = consumer.events.makeAsyncIterator()
        let batch = try #require(try await batches.next())
        try await dealWith(batch, consumer)
        let passed = TidemarkError.alreadyPassed(stream: stream, consumer: "model", begin: 0, checkpoint: 2)
        await #expect(throws: passed) {
            try await store.write { db in
                try Self.apply(batch, in: db)
                switch swallowing {
                case .caught: try? consumer.checkpoint(batch, in: db)
                case .savepoint:
                    try? db.inSavepoint {
                        try consumer.checkpoint(batch, in: db)
                        return .commit
                    }
                }
            }
        }
        #expect(try await applied() == ["a", "b"])
        // What comes later is not refused.
        try await dealWith(try #require(try await batches.next()), consumer)
        #expect(try await applied() == ["a", "b", "c"])
        await log.shutDown()
    }

    //  first                             second
    //  reads a batch
    //                                    claims the consumer
    //  applies it, moves the checkpoint
    @Test func `whoever has lost the claim applies nothing`() async throws {
        let first = try await log.consumer("model")
        var batches = first.events.makeAsyncIterator()
        let batch = try #require(try await batches.next())
        let second = try await log.consumer("model")
        let taken = TidemarkError.consumerTaken(stream: stream, consumer: "model")
        await #expect(throws: taken) { try await dealWith(batch, first) }
        #expect(try await applied().isEmpty)
        var others = second.events.makeAsyncIterator()
        try await dealWith(try #require(try await others.next()), second)
        #expect(try await applied() == ["a", "b"])
        await log.shutDown()
    }

    /// As in another life of the database, which counted alike.
    @Test func `a claim of the same count with another key is another claim`() async throws {
        let consumer = try await log.consumer("model")
        var batches = consumer.events.makeAsyncIterator()
        let batch = try #require(try await batches.next())
        try await store.withWriter { try $0.execute(sql: "UPDATE tidemark_consumers SET claim_key = claim_key + 1") }
        await #expect(throws: TidemarkError.consumerTaken(stream: stream, consumer: "model")) {
            try await dealWith(batch, consumer)
        }
        #expect(try await applied().isEmpty)
        await log.shutDown()
    }

    @Test func `a batch that was left out is not passed over`() async throws {
        let consumer = try await log.consumer("model")
        var batches = consumer.events.makeAsyncIterator()
        _ = try await batches.next()
        let second = try #require(try await batches.next())
        let left = TidemarkError.notYetPassed(stream: stream, consumer: "model", begin: 2, checkpoint: 0)
        await #expect(throws: left) { try await dealWith(second, consumer) }
        #expect(try await applied().isEmpty)
        await log.shutDown()
    }

    /// The reader has passed the IDs 4 and 5, which were given up, and what the filter leaves out, between two batches.
    @Test func `a batch begins where the last one ended, whatever lies between them`() async throws {
        let consumer = try await log.consumer("model", filter: .types(["noted"]))
        var batches = consumer.events.makeAsyncIterator()
        for _ in 0..<2 { try await dealWith(try #require(try await batches.next()), consumer) }
        struct GivenUp: Error {}
        await #expect(throws: GivenUp.self) { try await log.withNextIDs(2) { _ in throw GivenUp() } }
        try await log.persist([Event(id: "x", type: "other")])
        let empty = try #require(try await batches.next())
        #expect(empty.events.isEmpty && empty.through == 6)
        try await dealWith(empty, consumer)
        try await log.persist(events("d"))
        try await dealWith(try #require(try await batches.next()), consumer)
        #expect(try await applied() == ["a", "b", "c", "d"])
        #expect(try await consumer.audit().isComplete)
        await log.shutDown()
    }

    @Test func `the beginning of a batch can be dealt with alone`() async throws {
        let consumer = try await log.consumer("model")
        var batches = consumer.events.makeAsyncIterator()
        let batch = try #require(try await batches.next())
        try await dealWith(batch.ending(at: 1), consumer)
        #expect(try await applied() == ["a"])
        #expect(try await position() == 1)
        await #expect(throws: TidemarkError.alreadyPassed(stream: stream, consumer: "model", begin: 0, checkpoint: 1)) {
            try await dealWith(batch, consumer)
        }
        #expect(try await log.consumer("model").audit().isComplete)
        await log.shutDown()
    }

    @Test func `a batch that nobody has read, or a transaction elsewhere, is refused`() async throws {
        let consumer = try await log.consumer("model")
        var batches = consumer.events.makeAsyncIterator()
        let batch = try #require(try await batches.next())
        let made = EventBatch(events: batch.events, through: batch.through, snapshot: batch.snapshot)
        func isRefusal(_ error: (any Error)?) -> Bool {
            if case TidemarkError.unsuitableTransaction? = error { true } else { false }
        }
        let unread = await #expect(throws: TidemarkError.self) { try await dealWith(made, consumer) }
        #expect(isRefusal(unread))
        let other = try DatabaseQueue()
        let elsewhere = await #expect(throws: TidemarkError.self) {
            try await other.write { try consumer.checkpoint(batch, in: $0) }
        }
        #expect(isRefusal(elsewhere))
        let outside = await #expect(throws: TidemarkError.self) {
            try await store.withWriter { try consumer.checkpoint(batch, in: $0) }
        }
        #expect(isRefusal(outside))
        #expect(try await position() == 0)
        await log.shutDown()
    }
}

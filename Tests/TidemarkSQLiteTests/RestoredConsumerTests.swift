import GRDB
import Logging
import TestSupport
import Testing
import Tidemark
@testable import TidemarkSQLite

/// A backup takes the database's place, and it comes as far again as it was: only the marks of commits tell.
@Suite struct RestoredConsumerTests {
    let folder: TemporaryFolder
    let log: EventLog
    let store: SQLiteEventStore

    init() async throws {
        folder = try TemporaryFolder()
        log = try await Self.open(folder, as: "p1")
        store = try #require(log.store as? SQLiteEventStore)
    }

    private static func open(_ folder: TemporaryFolder, as instance: InstanceName?) async throws -> EventLog {
        var configuration = EventLogConfiguration()
        configuration.closesSilentWriters = false
        return try await EventLog.open(
            folder.open(), stream: stream, instance: instance, configuration: configuration,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    private func expectBackwards(_ what: String, at id: StreamID, _ body: () async throws -> Void) async {
        let error = await #expect(throws: TidemarkError.self, "\(what)") { try await body() }
        guard case .databaseWentBackwards(stream, id, _) = error else {
            return #expect(Bool(false), "\(what): \(String(describing: error))")
        }
    }

    @Test func `a batch from before a restore moves no checkpoint, and nothing is skipped after a restart`()
        async throws
    {
        _ = try await log.persist(events(0..<5))
        let consumer = try await log.consumer("mails")
        let copy = try folder.backUp()
        _ = try await log.persist(events(5..<10))
        var iterator = consumer.events.makeAsyncIterator()
        let batch = try #require(try await iterator.next())
        #expect(batch.through == 10)
        try folder.restore(copy)
        await expectBackwards("above the sequence", at: 10) { try await consumer.checkpoint(batch) }
        let other = try await Self.open(folder, as: "p2")
        _ = try await other.persist(events(20..<30))
        await expectBackwards("what was passed is another event", at: 10) { try await consumer.checkpoint(batch) }
        await expectBackwards("the next batch", at: 10) { _ = try await iterator.next() }
        // After a restart everything that is there now is read.
        var next = try await other.consumer("mails").events.makeAsyncIterator()
        #expect(try await next.next()?.events.count == 15)
    }

    @Test(arguments: [
        "UPDATE tidemark_consumers SET position = 1000",
        "UPDATE tidemark_events SET commit_number = commit_number - 1 WHERE stream_id = 5",
        "UPDATE tidemark_events SET kind = 1, event_id = NULL, type = NULL WHERE stream_id = 5",
    ])
    func `a consumer that has come further is an error after each restart, until it is moved by hand`(
        restored: String
    ) async throws {
        _ = try await log.persist(events(0..<5))
        let consumer = try await log.consumer("mails")
        var iterator = consumer.events.makeAsyncIterator()
        try await consumer.checkpoint(try #require(try await iterator.next()))
        try await store.write { try $0.execute(sql: restored) }
        let position: StreamID = restored.contains("1000") ? 1000 : 5
        for _ in 0..<2 {
            let again = try await Self.open(folder, as: nil)
            await expectBackwards("a claim", at: position) { _ = try await again.consumer("mails") }
            #expect(try await again.store.audit(stream, consumer: "mails", limit: 10).isComplete == false)
        }
        #expect(try await store.moveConsumer("mails", in: stream, to: .beginning) == 0)
        let moved = try await log.consumer("mails")
        var batches = moved.events.makeAsyncIterator()
        let batch = try #require(try await batches.next())
        try await moved.checkpoint(batch)
        #expect(try await moved.audit().isComplete)
    }

    @Test func `a reader that begins above the sequence is told, and skips nothing`() async throws {
        _ = try await log.persist(events(0..<5))
        await expectBackwards("events", at: 6) {
            var iterator = log.events(after: 6).makeAsyncIterator()
            _ = try await iterator.next()
        }
        await expectBackwards("raw events", at: 6) {
            var raw = log.reader.rawEvents(after: 6)
            _ = try await raw.next(into: 0) { count, _ in count += 1 }
        }
    }

    @Test func `a consumer's first snapshot looks up what it has passed`() async throws {
        _ = try await log.persist(events(0..<5))
        let consumer = try await log.consumer("mails")
        var iterator = consumer.events.makeAsyncIterator()
        try await consumer.checkpoint(try #require(try await iterator.next()))
        let again = try await log.consumer("mails")
        try await store.write {
            try $0.execute(sql: "UPDATE tidemark_events SET commit_number = commit_number - 1 WHERE stream_id = 5")
        }
        await expectBackwards("with nothing new", at: 5) {
            var iterator = again.events.makeAsyncIterator()
            _ = try await iterator.next()
        }
    }

    @Test func `a file that was migrated meanwhile is not written to by who does not know its schema`() async throws {
        let writer = try #require(log.writer)
        _ = try await log.persist(events("a"))
        let claim = try await store.claimConsumer("mails", in: stream)
        try await store.write { try $0.execute(sql: "UPDATE tidemark_schema SET version = 5") }
        let refused = TidemarkError.schemaTooNew(store: store.path, found: 5, supported: 4)
        await #expect(throws: refused) { try await store.persist(events("b"), in: stream, by: writer) }
        await #expect(throws: refused) { try await store.allocate(1, in: stream, for: writer) }
        await #expect(throws: refused) { try await store.beat(writer, at: 0) }
        await #expect(throws: refused) { try await store.closeWriter(stream, instance: "p1") }
        await #expect(throws: refused) { try await store.join(stream, as: "p2") }
        await #expect(throws: refused) { try await store.claimConsumer("mails", in: stream) }
        await #expect(throws: refused) {
            try await store.checkpoint(claim, at: 1, snapshot: SnapshotMark(newestCommit: 1))
        }
        await #expect(throws: refused) { try await store.moveConsumer("mails", in: stream, to: .beginning) }
        await #expect(throws: refused) { try await store.leave(stream, as: writer) }
    }
}

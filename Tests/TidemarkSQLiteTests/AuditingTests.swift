import GRDB
import Logging
import TestSupport
import Testing
import Tidemark
@testable import TidemarkSQLite

/// What an audit finds in a database that others have written to behind the library's back: by SQL, which is this engine's.
@Suite struct AuditingTests {
    let folder: TemporaryFolder
    let store: SQLiteEventStore
    let log: EventLog
    let consumer: DurableConsumer

    init() async throws {
        folder = try TemporaryFolder()
        store = try await folder.open()
        log = try await EventLog.open(
            store, stream: stream, instance: "p1", logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        consumer = try await log.consumer("mails")
    }

    /// Persists and reads `count` events, in commits of two, with a tombstone in between, and checkpoints them.
    @discardableResult
    private func deliver(_ numbers: Range<Int>) async throws -> EventBatch {
        struct ChangedMind: Error {}
        for number in stride(from: numbers.lowerBound, to: numbers.upperBound, by: 2) {
            _ = try await log.persist(events(number..<min(number + 2, numbers.upperBound)))
            await #expect(throws: ChangedMind.self) { try await log.withNextID { _ in throw ChangedMind() } }
        }
        let next = try await log.consumer("mails")
        var iterator = next.events.makeAsyncIterator()
        let batch = try #require(try await iterator.next())
        try await next.checkpoint(batch)
        return batch
    }

    private func audit(limit: Int = 100) async throws -> Audit {
        try await store.audit(stream, consumer: "mails", limit: limit)
    }

    private func execute(_ sql: String) async throws {
        try await store.write { try $0.execute(sql: sql) }
    }

    private static let columns = "(stream, stream_id, kind, event_id, type, writer, persisted_at, commit_number)"

    @Test func `a past without any fault is complete`() async throws {
        let first = try await deliver(0..<6)
        #expect(first.through == 9)
        _ = try await deliver(6..<10)
        _ = try await log.persist(events("unread"))
        let audit = try await audit()
        #expect(audit.isComplete && audit.findings.isEmpty)
        #expect(audit.events == 10 && audit.delivered == 10)
        #expect(audit.position == 15)
    }

    @Test func `an event that was committed below the checkpoint after it is named`() async throws {
        try await deliver(0..<4)
        // As a writer would that keeps none of the rules: its ID is the tombstone's.
        try await execute("DELETE FROM tidemark_events WHERE stream_id = 3")
        try await execute("UPDATE tidemark_streams SET commit_number = 5 << 20")
        try await execute("INSERT INTO tidemark_events \(Self.columns) VALUES (1, 3, 0, 'late', 'x', 1, 0, 5 << 20)")
        let findings = try await audit().findings
        let skipped = try #require(findings.first)
        #expect(skipped.kind == .skipped && skipped.id == 3 && skipped.mark?.place == 5)
        #expect(skipped.description.contains("event 3 was skipped: its commit, \(5 << 20), came after"))
        // The commit of the tombstone is gone, and what is there is more than what was delivered.
        #expect(findings.map(\.kind) == [.skipped, .vanishedCommit, .deliveredDiffers])
    }

    @Test func `one that a later checkpoint has passed is named too`() async throws {
        try await deliver(0..<4)
        try await execute("UPDATE tidemark_events SET kind = 0, event_id = 'late', type = 'x' WHERE stream_id = 3")
        try await deliver(4..<8)
        let findings = try await audit().findings
        #expect(findings.map(\.kind) == [.skipped, .deliveredDiffers])
        #expect(findings.first?.id == 3)
        #expect(findings.last?.description.contains("9 events are there") == true)
    }

    @Test func `events that vanished or changed their place are counted`() async throws {
        try await deliver(0..<8)
        try await execute("DELETE FROM tidemark_events WHERE stream_id = 2")
        #expect(try await audit().findings.map(\.kind) == [.deliveredDiffers])
        try await execute("DELETE FROM tidemark_events WHERE stream_id IN (1, 4)")
        let findings = try await audit().findings
        #expect(findings.map(\.kind) == [.vanishedCommit, .deliveredDiffers])
        #expect(findings[0].description == "the rows of the commit at place 1 are gone")
    }

    @Test func `as many events as before, but others, are no complete past`() async throws {
        try await deliver(0..<4)
        try await execute("UPDATE tidemark_events SET stream_id = 50 WHERE stream_id = 3")
        try await execute("UPDATE tidemark_events SET stream_id = 3 WHERE stream_id = 2")
        let findings = try await audit().findings
        #expect(findings.contains { $0.kind == .deliveredDiffers && $0.description.contains("others were delivered") })
        #expect(findings.contains { $0.kind == .impossibleRow && $0.id == 50 })
    }

    @Test func `an event of which only the random bits of its commit differ is another one`() async throws {
        try await deliver(0..<4)
        try await execute("UPDATE tidemark_events SET commit_number = commit_number + 1 WHERE stream_id = 2")
        let findings = try await audit().findings
        #expect(findings.contains { $0.kind == .deliveredDiffers })
    }

    @Test(arguments: [
        ("(1, 9, 0, 'x', 'x', 1, 0, 2 << 20)", "the sequence has handed out no ID above 6"),
        ("(1, -1, 0, 'x', 'x', 1, 0, 2 << 20)", "IDs begin at 1"),
        ("(1, 6, 0, 'x', 'x', 1, 0, 99 << 20)", "it names commit \(99 << 20)"),
        ("(1, 6, 0, 'x', 'x', 1, 0, 0)", "it names commit 0"),
        ("(1, 6, 0, 'x', 'x', 77, 0, 2 << 20)", "its writer has never joined the stream"),
    ])
    func `a row that no commit can have written is named`(values: String, problem: String) async throws {
        try await deliver(0..<3)
        #expect(try await store.allocate(1, in: stream, for: try #require(log.writer)) == [6])
        try await execute("INSERT INTO tidemark_events \(Self.columns) VALUES \(values)")
        let findings = try await audit().findings
        #expect(findings.contains { $0.kind == .impossibleRow && $0.description.contains(problem) }, "\(findings)")
    }

    @Test func `a commit of two writers is none`() async throws {
        _ = try await store.join(stream, as: "p2")
        try await deliver(0..<4)
        try await execute("UPDATE tidemark_events SET writer = 2 WHERE stream_id = 2")
        let findings = try await audit().findings
        #expect(findings.map(\.kind) == [.impossibleRow])
        #expect(findings[0].mark?.place == 1)
    }

    @Test func `a checkpoint beyond the stream means that the database was put back`() async throws {
        try await deliver(0..<4)
        try await execute("UPDATE tidemark_consumers SET position = 1000")
        #expect(try await audit().findings.map(\.kind) == [.checkpointAhead])
    }

    @Test func `events in tables of the user's own count as delivered`() async throws {
        _ = try await log.persist(events("a"))
        try await log.withNextID { id in try await store.write { try log.commit([id], in: $0) } }
        var iterator = consumer.events.makeAsyncIterator()
        let batch = try #require(try await iterator.next())
        #expect(batch.events.count == 1 && batch.externalEvents.count == 1)
        try await consumer.checkpoint(batch)
        let audit = try await consumer.audit()
        #expect(audit.isComplete && audit.delivered == 2)
    }
}

extension StreamID {
    fileprivate var next: StreamID { StreamID(rawValue + 1) }
}

import Logging
import TestSupport
import Testing
import Tidemark
@testable import TidemarkTesting

@Suite struct SequenceWarningTests {
    @Test func `who joins a stream whose sequence is behind its rows moves it up, with a warning`() async throws {
        let store = InMemoryEventStore()
        let lines = LogLines()
        func open(_ instance: InstanceName) async throws -> EventLog {
            try await EventLog.open(
                store, stream: "orders", instance: instance, logger: lines.logger)
        }
        let before = try await open("p1")
        try await before.persist((1...5).map { Event(id: "e\($0)", type: "noted") })
        await before.shutDown()
        let message =
            "the sequence was behind the stream's rows or positions, as after a restored backup: it was moved up"
        #expect(lines.lines(message).isEmpty)
        var database = store.database
        database.streams["orders"]?.sequence = 2
        store.restore(database)

        let log = try await open("p2")
        let warning = try #require(lines.lines(message).first)
        #expect(warning.level == .warning)
        #expect(warning.metadata["was_at"] == "2")
        #expect(warning.metadata["is_at"] == "5")
        #expect(warning.metadata["stream"] == "orders")
        #expect(try await log.persist(Event(id: "e6", type: "noted")) == 6)
        #expect(lines.lines(message).count == 1)
    }
}

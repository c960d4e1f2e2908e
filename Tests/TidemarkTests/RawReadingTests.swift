import Logging
import Synchronization
import Testing
import Tidemark
import TidemarkTesting

/// Reading without copies keeps the order and the promises of reading with them.
@Suite struct RawReadingTests {
    let store = InMemoryEventStore()

    func open(_ instance: InstanceName?) async throws -> EventLog {
        var configuration = EventLogConfiguration()
        configuration.batchEvents = 2
        configuration.rawBatchFactor = 1
        return try await EventLog.open(
            store, instance: instance, configuration: configuration,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    func event(_ id: String) -> Event { Event(id: id, type: "test") }

    @Test func `raw events come in order, each once, across batches`() async throws {
        let log = try await open("p1")
        try await log.persist(["a", "b", "c", "d", "e"].map(event))
        var events = log.reader.rawEvents(after: 1)
        var seen: [StreamID] = []
        var batches: [Int] = []
        while seen.count < 4 {
            let batch = try await events.next(into: [StreamID]()) { $0.append($1.streamID) }
            #expect(batch.count == batch.result.count)
            seen += batch.result
            batches.append(batch.count)
        }
        #expect(seen == [2, 3, 4, 5] && batches == [2, 2])
        await log.shutDown()
    }

    @Test func `a batch whose visit throws is shown again from its start`() async throws {
        struct Failure: Error {}
        let log = try await open("p1")
        try await log.persist(["a", "b"].map(event))
        var events = log.reader.rawEvents()
        await #expect(throws: Failure.self) {
            try await events.next(into: 0) { _, event in
                if event.streamID == 2 { throw Failure() }
            }
        }
        let batch = try await events.next(into: [StreamID]()) { $0.append($1.streamID) }
        #expect(batch.result == [1, 2] && batch.through == 2)
        await log.shutDown()
    }

    @Test func `a raw consumer goes on from its checkpoint`() async throws {
        let log = try await open("p1")
        try await log.persist(["a", "b", "c"].map(event))
        let first = try await log.consumer("mailer")
        var events = first.rawEvents
        try await first.checkpoint(try await events.next(into: 0) { count, _ in count += 1 })
        let second = try await log.consumer("mailer")
        #expect(second.claim.position == 2)
        var rest = second.rawEvents
        #expect(try await rest.next(into: [StreamID]()) { $0.append($1.streamID) }.result == [3])
        await log.shutDown()
    }

    @Test func `of a database that was put back no raw event is shown`() async throws {
        let log = try await open("p1")
        try await log.persist(event("a"))
        let backup = store.database
        try await log.persist(event("b"))
        var events = log.reader.rawEvents()
        _ = try await events.next(into: 0) { _, _ in }
        store.restore(backup)
        let other = try await open("p2")
        try await other.persist(event("c"))
        log.generator.recordFinished([3])
        await #expect(throws: TidemarkError.self) {
            try await events.next(into: 0) { _, event in Issue.record("\(event.streamID) was shown") }
        }
        for log in [log, other] { await log.shutDown() }
    }
}

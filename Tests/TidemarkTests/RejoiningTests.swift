import Logging
import Synchronization
import Testing
import TidemarkTesting

@testable import Tidemark

/// Writers that join again.
@Suite struct RejoiningTests {
    let store = InMemoryEventStore()
    let clock = ManualClock()

    private func open() async throws -> EventLog {
        try await EventLog.open(
            store, instance: "p1", time: TimeSource(clock),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    private func event(_ id: String) -> Event { Event(id: id, type: "test") }

    private var members: [Writer] {
        store.database.streams["events"]?.membership.members.keys.map { $0 } ?? []
    }

    //  log                              database
    //                                   p1#1 is retired
    //  joins again                      p1#3 is a member
    //  the answer is lost
    //  joins again: it is p1#3
    @Test func `a writer whose second join was made, and did not hear of it, is not taken for another's`() async throws
    {
        let log = try await open()
        let failures = Mutex(1)
        store.setHook { operation, moment in
            guard operation == .join, moment == .after else { return }
            try failures.withLock { failures in
                guard failures > 0 else { return }
                failures -= 1
                throw TidemarkError.storeUnavailable(store: "memory", problem: "the answer was lost")
            }
        }
        try await store.retire("events", instance: "p1")
        await #expect(throws: TidemarkError.self) { try await log.persist(event("a")) }
        #expect(try await log.persist(event("a")) == 1)
        #expect(log.writer == Writer("p1", epoch: 3) && members == [Writer("p1", epoch: 3)])
        // Somebody else's join is still one.
        try await store.retire("events", instance: "p1")
        let heir = try await open()
        await #expect(throws: TidemarkError.self) { try await log.persist(event("b")) }
        #expect(log.writer == nil && heir.writer == Writer("p1", epoch: 5))
        for log in [log, heir] { await log.shutDown() }
    }
}

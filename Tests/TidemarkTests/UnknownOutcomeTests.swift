import Logging
import Synchronization
import TestSupport
import Testing
import TidemarkTesting

@testable import Tidemark

/// Groups whose commit is not answered (rule 5).
@Suite struct UnknownOutcomeTests {
    let store = InMemoryEventStore()
    let clock = ManualClock()

    func open() async throws -> EventLog {
        try await EventLog.open(
            store, instance: "p1", time: TimeSource(clock),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    func event(_ id: String) -> Event { Event(id: id, type: "test") }

    let lost = TidemarkError.outcomeUnknown(stream: "events", events: ["a"], problem: "the connection broke")

    /// Fails the first group at this moment, and holds whoever settles it up until the gate is opened.
    func failFirst(_ failing: InMemoryEventStore.Moment, settlingAfter gate: Gate) {
        let hasFailed = Mutex(false)
        let lost = lost
        store.setHook { operation, moment in
            if operation == .settle, moment == .before { await gate.pass() }
            guard operation == .persist, moment == failing else { return }
            let isFirst = hasFailed.withLock { failed in
                defer { failed = true }
                return !failed
            }
            if isFirst { throw lost }
        }
    }

    @Test func `a group that was committed although its answer was lost is acknowledged once the database has said so`()
        async throws
    {
        let log = try await open()
        let gate = Gate()
        failFirst(.after, settlingAfter: gate)
        let caller = Task { try await log.persister.persist([event("a")]) }
        await gate.arrivals()
        // It holds ID 1, and nobody may be told that nothing of this writer will come at or below it.
        log.generator.advance(Writer("p2", epoch: 1), to: 9)
        #expect(log.generator.position(of: "p1") == 0)
        gate.open()
        #expect(try await caller.value == [.persisted(1)])
        #expect(log.generator.position(of: "p1") == 1)
        await log.shutDown()
    }

    @Test func `a group that was not committed is tried again, with the fence that settling has raised`() async throws {
        let log = try await open()
        let gate = Gate()
        failFirst(.before, settlingAfter: gate)
        let caller = Task { try await log.persister.persist([event("a")]) }
        await gate.arrivals()
        #expect(store.database.streams["events"]?.events.isEmpty == true)
        gate.open()
        #expect(try await caller.value == [.persisted(1)])
        #expect(store.database.streams["events"]?.writers["p1"]?.fence == 1)
        await log.shutDown()
    }

    @Test func `no other group begins while the outcome of one is unknown`() async throws {
        let log = try await open()
        let gate = Gate()
        failFirst(.before, settlingAfter: gate)
        let first = Task { try await log.persister.persist([event("a")]) }
        await gate.arrivals()
        let second = Task { try await log.persister.persist([event("b")]) }
        while log.persister.waitingCount != 1 { await Task.yield() }
        #expect(store.database.streams["events"]?.events.isEmpty == true)
        gate.open()
        #expect(try await first.value == [.persisted(1)])
        #expect(try await second.value == [.persisted(2)])
        await log.shutDown()
    }

    @Test func `callers do not wait for an outcome without end, and the database is asked on`() async throws {
        let log = try await open()
        let gate = Gate()
        failFirst(.after, settlingAfter: gate)
        let caller = Task { try await log.persister.persist([event("a")]) }
        await gate.arrivals()
        await clock.waitForSleepers(1)
        clock.advance(by: EventPersister.settleLimit)
        let unknown = TidemarkError.outcomeUnknown(stream: "events", events: ["a"], problem: "the connection broke")
        await #expect(throws: unknown) { try await caller.value }
        #expect(log.generator.position(of: "p1") == 0)
        // The limit is for each caller: who comes now does not wait as long once more.
        let unavailable = TidemarkError.storeUnavailable(
            store: "memory", problem: "it has not said what became of the group before this one")
        await #expect(throws: unavailable) { try await log.persister.persist([event("b")]) }
        gate.open()
        while log.persister.state.withLock({ $0.settling != nil }) { await Task.yield() }
        // Whoever asks again is told of the event that is there.
        #expect(try await log.persister.persist([event("a")]) == [.alreadyPersisted(1)])
        await log.shutDown()
    }

    @Test func `a fence that another process has raised is learned, and the group is tried again`() async throws {
        let log = try await open()
        let group = EventGroup([event("x")], in: "events", by: try #require(log.writer))
        _ = try await store.settle([group])
        #expect(try await log.persister.persist([event("a")]) == [.persisted(1)])
        await log.shutDown()
    }
}

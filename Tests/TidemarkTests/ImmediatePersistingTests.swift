import Logging
import Synchronization
import TestSupport
import Testing
import TidemarkTesting

@testable import Tidemark

/// Callers that find nobody else, on a store that has nothing to wait for.
@Suite struct ImmediatePersistingTests {
    let store = InMemoryEventStore()
    /// How often the store was asked, and how many transactions were waited for.
    private let counts = Counts()

    private final class Counts: Sendable {
        private let values = Mutex((asked: 0, waitedFor: 0))
        var asked: Int { values.withLock { $0.asked } }
        var waitedFor: Int { values.withLock { $0.waitedFor } }
        func ask() -> Int {
            values.withLock {
                $0.asked += 1
                return $0.asked
            }
        }
        func wait() { values.withLock { $0.waitedFor += 1 } }
    }

    /// - Parameter first: what happens while the first caller is alone; whether it goes on.
    private func open(_ first: @escaping @Sendable (EventLog) throws -> Bool = { _ in true }) async throws -> EventLog {
        let log = try await EventLog.open(
            store, instance: "p1", logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        store.setHook { [counts] operation, moment in
            if operation == .persist, moment == .before { counts.wait() }
        }
        store.setImmediateHook { [counts, weak log] in
            guard counts.ask() == 1, let log else { return true }
            return try first(log)
        }
        return log
    }

    private func event(_ id: String) -> Event { Event(id: id, type: "test") }

    @Test func `who is alone waits for no transaction`() async throws {
        let log = try await open()
        #expect(try await log.persist(event("a")) == 1)
        #expect(try await log.persist([event("b"), event("a"), event("c")]) == [2, 1, 3])
        #expect(counts.asked == 2 && counts.waitedFor == 0)
        #expect(log.generator.minimumPersistedPosition == 3)
        await log.shutDown()
    }

    @Test func `where the store has to wait nothing is done twice`() async throws {
        let log = try await open { _ in false }
        #expect(try await log.persist(event("a")) == 1)
        #expect(counts.asked == 1 && counts.waitedFor == 1)
        #expect(log.generator.minimumPersistedPosition == 1)
        await log.shutDown()
    }

    //  one                          two, three
    //  begins alone
    //                               wait
    //  commits
    //                               commit together
    @Test func `who comes meanwhile goes into one group afterwards`() async throws {
        let others = Mutex<[Task<StreamID, any Error>]>([])
        let log = try await open { log in
            for id in ["two", "three"] {
                let caller = Task.immediate { try await log.persist(Event(id: id, type: "test")) }
                others.withLock { $0.append(caller) }
            }
            return log.persister.waitingCount == 2
        }
        #expect(try await log.persist(event("one")) == 1)
        var ids: [StreamID] = []
        for caller in others.withLock({ $0 }) { ids.append(try await caller.value) }
        #expect(ids == [2, 3])
        #expect(counts.asked == 1 && counts.waitedFor == 1)
        await log.shutDown()
    }

    @Test func `a failure is its callers and the next one goes on`() async throws {
        struct Broken: Error {}
        let log = try await open { _ in throw Broken() }
        await #expect(throws: Broken.self) { try await log.persist(event("a")) }
        #expect(try await log.persist(event("b")) == 1)
        #expect(counts.waitedFor == 0 && log.generator.minimumPersistedPosition == 1)
        await log.shutDown()
    }

    @Test(arguments: [true, false])
    func `a retired writer joins again`(knowsAlready: Bool) async throws {
        let log = try await open()
        try await store.retire("events", instance: "p1")
        if knowsAlready { try await log.reconcile() }
        #expect(try await log.persist(event("a")) == 1)
        #expect(log.writer == Writer("p1", epoch: 3))
        #expect(counts.asked == (knowsAlready ? 0 : 1))
        let waitedFor = counts.waitedFor
        // Whoever committed the group may not have seen yet that there is no other one.
        try await eventually { log.persister.isIdle }
        #expect(try await log.persist(event("b")) == 2)
        #expect(counts.waitedFor == waitedFor)
        await log.shutDown()
    }

    @Test func `a database that was put back ends the log`() async throws {
        let log = try await open()
        let early = store.database
        try await log.persist(event("a"))
        store.restore(early)
        let error = await #expect(throws: TidemarkError.self) { try await log.persist(event("b")) }
        guard case .databaseWentBackwards = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(counts.waitedFor == 0)
        await #expect(throws: try #require(error)) { try await log.persist(event("c")) }
        #expect(store.database.streams["events"]?.events.isEmpty == true)
    }

    @Test func `shutting down waits for who is alone`() async throws {
        let ending = Mutex<Task<Void, Never>?>(nil)
        let log = try await open { log in
            ending.withLock { $0 = Task.immediate { await log.shutDown() } }
            return true
        }
        #expect(try await log.persist(event("a")) == 1)
        await ending.withLock({ $0 })?.value
        #expect(store.database.streams["events"]?.membership.members.isEmpty == true)
        await #expect(throws: TidemarkError.stopped(stream: "events", instance: "p1")) {
            try await log.persist(event("late"))
        }
    }
}

import Logging
import Synchronization
import TestSupport
import Testing
import TidemarkTesting

@testable import Tidemark

@Suite struct EventPersisterTests {
    let store = InMemoryEventStore()

    func open(_ instance: InstanceName = "p1", _ change: (inout EventLogConfiguration) -> Void = { _ in }) async throws
        -> EventLog
    {
        var configuration = EventLogConfiguration()
        change(&configuration)
        return try await EventLog.open(
            store, instance: instance, configuration: configuration,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    func event(_ id: String, bytes: Int = 1) -> Event {
        Event(id: id, type: "test", payload: Array(repeating: 0, count: bytes))
    }

    /// Holds the first transaction up until the gate is opened, and counts transactions.
    func hold(_ gate: Gate) -> @Sendable () -> Int {
        let transactions = Transactions()
        store.setHook { operation, moment in
            guard operation == .persist, moment == .before else { return }
            if transactions.increment() == 1 { await gate.pass() }
        }
        return { transactions.count }
    }

    private final class Transactions: Sendable {
        private let value = Mutex(0)
        var count: Int { value.withLock { $0 } }
        func increment() -> Int {
            value.withLock {
                $0 += 1; return $0
            }
        }
    }

    /// The number of requests that wait, once it is so.
    func waiting(_ count: Int, in log: EventLog) async {
        while log.persister.waitingCount != count { await Task.yield() }
    }

    @Test func `what comes during a commit goes into the next one`() async throws {
        let log = try await open()
        let gate = Gate()
        let transactions = hold(gate)
        let first = Task { try await log.persist(event("first")) }
        await gate.arrivals()
        let others = (0..<50).map { number in Task { try await log.persist(event("e\(number)")) } }
        await waiting(50, in: log)
        gate.open()
        #expect(try await first.value == 1)
        var ids: Set<StreamID> = []
        for other in others { ids.insert(try await other.value) }
        #expect(ids.count == 50 && transactions() == 2)
        await log.shutDown()
    }

    @Test func `one bad event fails its own caller only`() async throws {
        let log = try await open { $0.limits.payloadBytes = 10 }
        let gate = Gate()
        _ = hold(gate)
        let good = Task { try await log.persist(event("good")) }
        await gate.arrivals()
        let bad: [Event] = [
            event(""), event(String(repeating: "x", count: 256)), Event(id: "a", type: ""), event("a", bytes: 11),
        ]
        for event in bad {
            await #expect(throws: TidemarkError.self) { try await log.persist([event, self.event("fine")]) }
        }
        gate.open()
        #expect(try await good.value == 1)
        #expect(try await log.event(withID: "fine") == nil)
        await log.shutDown()
    }

    @Test func `a caller that is cancelled while it waits persists nothing`() async throws {
        let log = try await open()
        let gate = Gate()
        _ = hold(gate)
        let first = Task { try await log.persist(event("first")) }
        await gate.arrivals()
        let second = Task { try await log.persist([event("second"), event("third")]) }
        await waiting(1, in: log)
        second.cancel()
        await #expect(throws: CancellationError.self) { try await second.value }
        gate.open()
        _ = try await first.value
        #expect(store.database.streams["events"]?.events.map(\.event.id) == ["first"])
        await log.shutDown()
    }

    @Test func `a caller that is cancelled during the commit persists all`() async throws {
        let log = try await open()
        let gate = Gate()
        _ = hold(gate)
        let caller = Task { try await log.persist([event("a"), event("b")]) }
        await gate.arrivals()
        caller.cancel()
        await #expect(throws: CancellationError.self) { try await caller.value }
        gate.open()
        // Whoever comes next is behind that group.
        #expect(try await log.persist(event("c")) == 3)
        await log.shutDown()
    }

    @Test func `callers wait when the queue is full`() async throws {
        let log = try await open { $0.waitingEvents = 2 }
        let gate = Gate()
        _ = hold(gate)
        let first = Task { try await log.persist(event("first")) }
        await gate.arrivals()
        let callers = (0..<20).map { number in Task { try await log.persist(event("e\(number)")) } }
        await waiting(2, in: log)
        for _ in 0..<100 { await Task.yield() }
        #expect(log.persister.waitingCount == 2)
        // One that waits for room can be cancelled too.
        callers[19].cancel()
        gate.open()
        _ = try await first.value
        for caller in callers.dropLast() { _ = try await caller.value }
        _ = await callers[19].result
        #expect(try await log.persist(event("last")) >= 21)
        await log.shutDown()
    }

    @Test func `a retired writer whose name nobody took joins again`() async throws {
        let log = try await open()
        try await log.persist(event("a"))
        try await store.retire("events", instance: "p1")
        #expect(try await log.persist(event("b")) == 2)
        #expect(log.writer == Writer("p1", epoch: 3))
        #expect(try await log.withNextID { id in try await log.persist(event("c"), as: id) } == 3)
        #expect(log.generator.minimumPersistedPosition == 3)
        await log.shutDown()
    }

    @Test func `one whose name was taken stops for good`() async throws {
        let log = try await open()
        let running = Task { try await log.run() }
        let heir = try await open()
        let error = TidemarkError.instanceTaken(
            stream: "events", writer: Writer("p1", epoch: 1), by: Writer("p1", epoch: 2))
        await #expect(throws: error) { try await log.persist(event("a")) }
        await #expect(throws: error) { try await running.value }
        #expect(try await heir.persist(event("b")) == 1)
        await heir.shutDown()
    }

    @Test func `what was handed in before shutting down is persisted`() async throws {
        let log = try await open()
        let gate = Gate()
        _ = hold(gate)
        let first = Task { try await log.persist(event("first")) }
        await gate.arrivals()
        let callers = (0..<9).map { number in Task { try await log.persist(event("e\(number)")) } }
        await waiting(9, in: log)
        let running = Task { try await log.run() }
        running.cancel()
        gate.open()
        for caller in [first] + callers { _ = try await caller.value }
        try await running.value
        #expect(store.database.streams["events"]?.membership.members.isEmpty == true)
        await #expect(throws: TidemarkError.stopped(stream: "events", instance: "p1")) {
            try await log.persist(event("late"))
        }
    }
}

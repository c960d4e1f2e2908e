import Logging
import Synchronization
import TestSupport
import Testing
import TidemarkTesting

@testable import Tidemark

/// Logs on one store in memory that look at each other when a test says so, on a clock that it moves.
@Suite struct ClosingTests {
    let store = InMemoryEventStore()
    let clock = ManualClock()

    func open(
        _ instance: InstanceName?, lines: LogLines = LogLines(),
        _ change: (inout EventLogConfiguration) -> Void = { _ in }
    ) async throws -> EventLog {
        var configuration = EventLogConfiguration()
        change(&configuration)
        return try await EventLog.open(
            store, instance: instance, configuration: configuration, time: TimeSource(clock),
            logger: lines.logger)
    }

    func event(_ id: String) -> Event { Event(id: id, type: "test") }

    /// One look, without carrying out what follows.
    func look(_ log: EventLog) async throws -> SilenceWatch.Decision? {
        let began = log.time.awake
        try await log.reconcile()
        return log.decide(since: began)
    }

    /// One look, and what follows from it.
    func watch(_ log: EventLog) async throws {
        if let decision = try await look(log) { await log.carryOut(decision) }
    }

    /// What the observer and the healthy writers do in so many quarters of a second.
    func pass(_ quarters: Int, healthy: [EventLog] = [], observer: EventLog) async throws {
        for quarter in 0..<quarters {
            if quarter % 4 == 0 { for log in healthy { try await log.generator.beat(as: try #require(log.writer)) } }
            try await watch(observer)
            clock.advance(by: .milliseconds(250))
        }
    }

    /// A scope that holds an ID until the gate is opened, and then persists the event under it.
    func hold(_ id: String, in log: EventLog, until gate: Gate) async -> Task<StreamID, any Error> {
        let scope = Task {
            try await log.withNextID(timeLimit: .seconds(3600)) { streamID in
                await gate.pass()
                return try await log.persist(event(id), as: streamID)
            }
        }
        await gate.arrivals()
        return scope
    }

    func isClosed(_ instance: InstanceName) -> Bool {
        store.database.streams["events"]?.writers[instance]?.isClosed ?? false
    }

    // MARK: Silence

    @Test func `the minimum passes a dead writer after the timeout`() async throws {
        let (dead, alive) = (try await open("p1"), try await open("p2"))
        let gate = Gate()
        let scope = await hold("lost", in: dead, until: gate)
        try await alive.persist(event("a"))
        try await pass(20, healthy: [alive], observer: alive)
        #expect(alive.generator.minimumPersistedPosition == 0 && !isClosed("p1"))
        try await pass(1, healthy: [alive], observer: alive)
        #expect(alive.generator.minimumPersistedPosition == 2 && isClosed("p1"))
        gate.open()
        await #expect(throws: TidemarkError.closed(stream: "events", instance: "p1", id: 1)) { try await scope.value }
        for log in [dead, alive] { await log.shutDown() }
    }

    /// It does not write, so that it tries whether anyone could before it closes.
    @Test func `a reader closes too after it has written`() async throws {
        let (dead, alive, reader) = (try await open("p1"), try await open("p2"), try await open(nil))
        let gate = Gate()
        let scope = await hold("lost", in: dead, until: gate)
        try await alive.persist(event("a"))
        let writes = Mutex(0)
        store.setHook { operation, moment in
            if operation == .checkWritable, moment == .after { writes.withLock { $0 += 1 } }
        }
        try await pass(21, healthy: [alive], observer: reader)
        #expect(reader.generator.minimumPersistedPosition == 2 && isClosed("p1") && !isClosed("p2"))
        #expect(writes.withLock { $0 } == 2)
        gate.open()
        _ = await scope.result
        for log in [dead, alive, reader] { await log.shutDown() }
    }

    @Test func `one whose process is gone is closed at once`() async throws {
        let (dead, alive) = (try await open("p1"), try await open("p2"))
        let gate = Gate()
        let scope = await hold("lost", in: dead, until: gate)
        try await alive.persist(event("a"))
        store.endProcess(of: "p1", in: "events")
        try await watch(alive)
        #expect(alive.generator.minimumPersistedPosition == 2)
        gate.open()
        _ = await scope.result
        for log in [dead, alive] { await log.shutDown() }
    }

    @Test func `who is told not to closes nobody`() async throws {
        let dead = try await open("p1")
        let alive = try await open("p2") { $0.closesSilentWriters = false }
        let gate = Gate()
        let scope = await hold("lost", in: dead, until: gate)
        try await alive.persist(event("a"))
        store.endProcess(of: "p1", in: "events")
        try await pass(40, healthy: [alive], observer: alive)
        #expect(!isClosed("p1"))
        gate.open()
        #expect(try await scope.value == 1)
        for log in [dead, alive] { await log.shutDown() }
    }

    @Test func `a store that cannot write ends the watching quietly`() async throws {
        let (dead, alive, reader) = (try await open("p1"), try await open("p2"), try await open(nil))
        let gate = Gate()
        let scope = await hold("late", in: dead, until: gate)
        try await alive.persist(event("a"))
        let attempts = Mutex(0)
        store.setHook { operation, moment in
            guard [.checkWritable, .close, .retire].contains(operation), moment == .before else { return }
            attempts.withLock { $0 += 1 }
            throw TidemarkError.readOnly(store: "memory")
        }
        try await pass(60, healthy: [alive], observer: reader)
        #expect(attempts.withLock { $0 } == 1 && !isClosed("p1"))
        gate.open()
        #expect(try await scope.value == 1)
        for log in [dead, alive, reader] { await log.shutDown() }
    }

    // MARK: Races

    //  p1   heartbeat 1                         heartbeat 2
    //  p2                sees 1 for too long                  closes: not as observed
    @Test func `a heartbeat just before the closing prevents it`() async throws {
        let (slow, alive) = (try await open("p1"), try await open("p2"))
        let gate = Gate()
        let scope = await hold("late", in: slow, until: gate)
        try await alive.persist(event("a"))
        try await pass(20, healthy: [alive], observer: alive)
        let decision = try #require(try await look(alive))
        #expect(decision.close.map(\.writer) == [Writer("p1", epoch: 1)])
        try await slow.generator.beat(as: try #require(slow.writer))
        await alive.carryOut(decision)
        #expect(!isClosed("p1"))
        gate.open()
        #expect(try await scope.value == 1)
        for log in [slow, alive] { await log.shutDown() }
    }

    //  p1   dead
    //  p2        sees it …… closes
    //  p3        sees it ………………………… closes: it was closed already
    @Test func `of two that close at once one does`() async throws {
        let (dead, second, third) = (try await open("p1"), try await open("p2"), try await open("p3"))
        let gate = Gate()
        let scope = await hold("lost", in: dead, until: gate)
        try await second.persist(event("a"))
        store.endProcess(of: "p1", in: "events")
        let decisions = [try #require(try await look(second)), try #require(try await look(third))]
        let observed = try #require(decisions[1].close.first)
        await second.carryOut(decisions[0])
        try await second.persist(event("b"))
        #expect(try await store.closeWriter("events", observed: observed) == nil)
        await third.carryOut(decisions[1])
        #expect(store.database.streams["events"]?.writers["p1"]?.position == 2)
        try await third.generator.beat(as: try #require(third.writer))
        try await second.reconcile()
        #expect(second.generator.minimumPersistedPosition == 3)
        gate.open()
        _ = await scope.result
        for log in [dead, second, third] { await log.shutDown() }
    }

    /// The name was taken between the look and the closing: the heir is not the one that was observed.
    @Test func `an heir is not closed for its zombie`() async throws {
        let (zombie, alive) = (try await open("p1"), try await open("p2"))
        let gate = Gate()
        let scope = await hold("lost", in: zombie, until: gate)
        try await alive.persist(event("a"))
        store.endProcess(of: "p1", in: "events")
        let decision = try #require(try await look(alive))
        let heir = try await open("p1")
        await alive.carryOut(decision)
        #expect(!isClosed("p1"))
        gate.open()
        await #expect(
            throws: TidemarkError.instanceTaken(
                stream: "events", writer: Writer("p1", epoch: 1), by: Writer("p1", epoch: 2))
        ) { try await scope.value }
        #expect(try await heir.persist(event("b")) == 3)
        for log in [zombie, alive, heir] { await log.shutDown() }
    }
}

extension EventLog {
    /// Whom it would close, by what it has reconciled since `began`; nil where that is nobody, or it is closing somebody.
    func decide(since began: Duration) -> StreamMachine.Decision? {
        generator.state.withLock { state in
            state.machine.look(since: began, awake: time.awake)
            return state.machine.takeDecision()
        }
    }

    func carryOut(_ decision: StreamMachine.Decision) async {
        guard let log = generator.log else { return }
        await generator.carryOut(decision, log)
    }
}

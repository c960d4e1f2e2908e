import Logging
import Synchronization
import TestSupport
import Testing
import TidemarkTesting

@testable import Tidemark

/// What a writer notices that was closed or retired while it was only slow, and what a stall of everyone does not do.
@Suite struct ClosedWriterTests {
    let scene = ClosingTests()

    // MARK: Closed

    @Test func `a closed scopes caller tries again and nothing stays in flight`() async throws {
        let (slow, other) = (try await scene.open("p1"), try await scene.open("p2"))
        let gate = Gate()
        let scope = await scene.hold("late", in: slow, until: gate)
        try await other.persist(scene.event("a"))
        try await slow.reconcile()
        _ = try await scene.store.closeWriter("events", instance: "p1")
        gate.open()
        await #expect(throws: TidemarkError.closed(stream: "events", instance: "p1", id: 1)) { try await scope.value }
        #expect(slow.generator.inFlightCount == 0)
        #expect(try await slow.withNextID { id in try await slow.persist(scene.event("late"), as: id) } == 3)
        #expect(scene.store.database.streams["events"]?.rows[1]?.isTombstone == true)
        try await slow.reconcile()
        #expect(slow.generator.minimumPersistedPosition == 3)
        for log in [slow, other] { await log.shutDown() }
    }

    /// The answer to its heartbeat has a durable position above the one that it promised.
    @Test func `a closed writer hears of it with its heartbeat`() async throws {
        let (slow, other) = (try await scene.open("p1"), try await scene.open("p2"))
        let gate = Gate()
        let scope = await scene.hold("late", in: slow, until: gate)
        try await other.persist(scene.event("a"))
        _ = try await scene.store.closeWriter("events", instance: "p1")
        try await slow.generator.beat(as: try #require(slow.writer))
        #expect(slow.generator.inFlightCount == 0)
        #expect(slow.generator.position(of: "p1") == 2)
        #expect(scene.isClosed("p1"))
        try await slow.generator.beat(as: try #require(slow.writer))
        #expect(!scene.isClosed("p1"))
        gate.open()
        await #expect(throws: TidemarkError.closed(stream: "events", instance: "p1", id: 1)) { try await scope.value }
        for log in [slow, other] { await log.shutDown() }
    }

    /// It was committed before the closing, and its answer came after it.
    @Test func `a commit that was before the closing stands`() async throws {
        let log = try await scene.open("p1")
        let gate = Gate()
        scene.store.setHook { operation, moment in
            if operation == .persistAs(1), moment == .after { await gate.pass() }
        }
        let scope = Task { try await log.withNextID { id in try await log.persist(scene.event("a"), as: id) } }
        await gate.arrivals()
        _ = try await scene.store.closeWriter("events", instance: "p1")
        try await log.generator.beat(as: try #require(log.writer))
        gate.open()
        #expect(try await scope.value == 1)
        #expect(try await log.event(withID: "a")?.streamID == 1)
        #expect(log.generator.inFlightCount == 0)
        await log.shutDown()
    }

    /// Databases that allocate outside of the transaction refuse a group whose IDs were closed under way.
    @Test func `a group that was closed is tried again and acknowledged once`() async throws {
        let log = try await scene.open("p1")
        let transactions = Mutex(0)
        scene.store.setHook { operation, moment in
            guard operation == .persist, moment == .before else { return }
            let number = transactions.withLock {
                $0 += 1; return $0
            }
            if number <= 2 { throw TidemarkError.closed(stream: "events", instance: "p1", id: 1) }
        }
        #expect(try await log.persist([scene.event("a"), scene.event("b")]) == [1, 2])
        #expect(transactions.withLock { $0 } == 3)
        await log.shutDown()
    }

    /// What comes from the sequence after the closing is above it, whatever was under way.
    @Test func `an ID that was closed before it arrived is refused`() async throws {
        let log = try await scene.open("p1")
        let gate = Gate()
        scene.store.setHook { operation, moment in
            if operation == .allocate(1), moment == .after { await gate.pass() }
        }
        let scope = Task { try await log.withNextID { id in try await log.persist(scene.event("a"), as: id) } }
        await gate.arrivals()
        _ = try await scene.store.closeWriter("events", instance: "p1")
        try await log.generator.beat(as: try #require(log.writer))
        scene.store.setHook(nil)
        gate.open()
        await #expect(throws: TidemarkError.closed(stream: "events", instance: "p1", id: 1)) { try await scope.value }
        #expect(log.generator.inFlightCount == 0)
        #expect(try await log.persist(scene.event("a")) == 2)
        await log.shutDown()
    }

    // MARK: Retired

    @Test func `a writer that is silent for much longer is retired and joins again by itself`() async throws {
        let slow = try await scene.open("p1")
        let other = try await scene.open("p2") { $0.retirementTimeout = .seconds(20) }
        try await scene.pass(80, healthy: [other], observer: other)
        #expect(other.generator.positions.keys.sorted { $0.rawValue < $1.rawValue } == ["p1", "p2"])
        try await scene.pass(1, healthy: [other], observer: other)
        #expect(other.generator.positions.keys.map(\.rawValue) == ["p2"])
        // It goes on as if nothing had been, but for its epoch.
        #expect(try await slow.persist(scene.event("a")) == 1)
        #expect(slow.writer == Writer("p1", epoch: 3))
        try await scene.watch(other)
        #expect(other.generator.minimumPersistedPosition == 1)
        for log in [slow, other] { await log.shutDown() }
    }

    @Test func `a scope that was held over a retirement is told to try again`() async throws {
        let (slow, other) = (try await scene.open("p1"), try await scene.open("p2"))
        let gate = Gate()
        let scope = await scene.hold("late", in: slow, until: gate)
        try await other.persist(scene.event("a"))
        try await scene.store.retire("events", instance: "p1")
        gate.open()
        await #expect(throws: TidemarkError.closed(stream: "events", instance: "p1", id: 1)) { try await scope.value }
        #expect(slow.generator.inFlightCount == 0)
        #expect(try await slow.withNextID { id in try await slow.persist(scene.event("late"), as: id) } == 3)
        for log in [slow, other] { await log.shutDown() }
    }

    @Test func `a heartbeat of a retired writer joins again`() async throws {
        let log = try await scene.open("p1")
        try await scene.store.retire("events", instance: "p1")
        try await log.generator.beat(as: Writer("p1", epoch: 1))
        #expect(log.writer == Writer("p1", epoch: 3))
        #expect(scene.store.database.streams["events"]?.membership.members.keys.first == Writer("p1", epoch: 3))
        await log.shutDown()
    }

    // MARK: A stall of everyone

    /// Every process is stopped for a minute, and the observer wakes up first.
    @Test func `after everyone was stopped nobody is closed`() async throws {
        let (healthy, observer) = (try await scene.open("p1"), try await scene.open("p2"))
        let gate = Gate()
        let scope = await scene.hold("late", in: healthy, until: gate)
        try await observer.persist(scene.event("a"))
        try await scene.pass(18, healthy: [observer], observer: observer)
        scene.clock.advance(by: .seconds(60))
        try await scene.pass(20, healthy: [observer], observer: observer)
        #expect(!scene.isClosed("p1"))
        gate.open()
        #expect(try await scope.value == 1)
        for log in [healthy, observer] { await log.shutDown() }
    }

    /// Somebody holds the write lock for 20 s: heartbeats wait, looks do not, and the observer's heartbeat comes first.
    @Test func `after nobody could write nobody is closed`() async throws {
        let (healthy, observer) = (try await scene.open("p1"), try await scene.open("p2"))
        let gate = Gate()
        let scope = await scene.hold("late", in: healthy, until: gate)
        try await observer.persist(scene.event("a"))
        try await scene.pass(2, healthy: [healthy, observer], observer: observer)
        let lock = Gate()
        scene.store.setHook { operation, moment in
            if [.heartbeat, .checkWritable, .close].contains(operation), moment == .before { await lock.pass() }
        }
        let writer = try #require(observer.writer)
        let beating = Task { try await observer.generator.beat(as: writer) }
        await lock.arrivals()
        var attempts: [Task<Void, Never>] = []
        for _ in 0..<80 {
            if let decision = try await scene.look(observer) {
                attempts.append(Task { await observer.carryOut(decision) })
            }
            scene.clock.advance(by: .milliseconds(250))
        }
        // One after the other, and this one waits.
        #expect(attempts.count == 1)
        lock.open()
        try await beating.value
        for attempt in attempts { await attempt.value }
        try await scene.pass(19, healthy: [observer], observer: observer)
        #expect(!scene.isClosed("p1"))
        try await healthy.generator.beat(as: try #require(healthy.writer))
        gate.open()
        #expect(try await scope.value == 1)
        for log in [healthy, observer] { await log.shutDown() }
    }
}

import Logging
import Synchronization
import TestSupport
import Testing
import TidemarkTesting

@testable import Tidemark

/// Read-your-writes. The clocks of these tests stand still unless a test moves them: whoever goes on was woken.
@Suite(.timeLimit(.minutes(1))) struct ConsumerWaitTests {
    let store = InMemoryEventStore()
    let transport = LocalTransport()
    let clock = ManualClock()

    private func open(_ instance: InstanceName?, connected: Bool = true) async throws -> EventLog {
        var configuration = EventLogConfiguration()
        configuration.heartbeatInterval = nil
        configuration.reconcileInterval = nil
        configuration.closesSilentWriters = false
        return try await EventLog.open(
            store, instance: instance, transport: connected ? transport : nil, configuration: configuration,
            time: TimeSource(clock), logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    /// What `count` questions to the database about the consumer arrive at.
    private func questions() -> Gate {
        let asked = Gate()
        asked.open()
        store.setHook { operation, moment in
            if operation == .position, moment == .after { await asked.pass() }
        }
        return asked
    }

    private func checkpoint(_ consumer: DurableConsumer, at position: StreamID) async throws {
        let mark = SnapshotMark(newestCommit: store.database.streams["events"]?.commitNumber ?? 0)
        try await consumer.checkpoint(EventBatch(events: [], through: position, snapshot: mark))
    }

    @Test(arguments: [false, true])
    func `whoever waits is woken by the checkpoint, in this process and in another`(isElsewhere: Bool) async throws {
        let log = try await open("p1")
        let other = try await open(nil)
        let id = try await log.persist(Event(id: "a", type: "t"))
        let consumer = try await (isElsewhere ? other : log).consumer("model")
        let asked = questions()
        let wait = Task { try await log.wait(for: "model", toPass: id, timeout: .seconds(60)) }
        await asked.arrivals(1)
        try await checkpoint(consumer, at: id)
        #expect(try await wait.value == .reached)
        #expect(log.generator.checkpoints.count == 0)
        await log.shutDown()
        await other.shutDown()
    }

    //  waits                             consumer
    //  opens its snapshot: not there
    //                                    moves its checkpoint, and says so
    //  waits to be woken
    @Test func `what is said between the snapshot and the wait is not missed`() async throws {
        let log = try await open("p1")
        let id = try await log.persist(Event(id: "a", type: "t"))
        let consumer = try await log.consumer("model")
        let looks = Mutex(0)
        store.setHook { operation, moment in
            guard operation == .position, moment == .after,
                looks.withLock({
                    $0 += 1; return $0
                }) == 1
            else { return }
            try await self.checkpoint(consumer, at: id)
        }
        #expect(try await log.wait(for: "model", toPass: id, timeout: .seconds(60)) == .reached)
        #expect(looks.withLock { $0 } == 2)
        await log.shutDown()
    }

    @Test func `what is said only wakes, and the database answers`() async throws {
        let log = try await open("p1")
        let id = try await log.persist(Event(id: "a", type: "t"))
        _ = try await log.consumer("model")
        let asked = questions()
        let wait = Task { try await log.wait(for: "model", toPass: id, timeout: .seconds(60)) }
        await asked.arrivals(1)
        func say(_ position: StreamID, consumer: ConsumerName = "model", stream: StreamName = "events") {
            transport.inject(
                .checkpoint(ReplicationCheckpoint(stream: stream, consumer: consumer, position: position)))
        }
        // Of another place, consumer or stream: it sleeps on.
        say(0)
        say(9, consumer: "other")
        say(9, stream: "other")
        // A lie: it asks, and once more only after a while, however often the lie is repeated.
        say(9)
        await asked.arrivals(2)
        while log.generator.checkpoints.count == 0 { await Task.yield() }
        say(9)
        say(9)
        await clock.waitForSleepers(1)
        clock.advance(by: .seconds(61))
        #expect(try await wait.value == .timedOut(behindBy: 1))
        await log.shutDown()
    }

    @Test func `without replication the database is asked again`() async throws {
        let log = try await open("p1", connected: false)
        let other = try await open(nil, connected: false)
        let id = try await log.persist(Event(id: "a", type: "t"))
        let consumer = try await other.consumer("model")
        let asked = questions()
        let wait = Task { try await log.wait(for: "model", toPass: id, timeout: .seconds(60)) }
        await asked.arrivals(1)
        try await checkpoint(consumer, at: id)
        await clock.waitForSleepers(1)
        clock.advance(by: .milliseconds(250))
        #expect(try await wait.value == .reached)
        await log.shutDown()
        await other.shutDown()
    }

    @Test func `a wait without time asks once, and says how far behind the consumer is`() async throws {
        let log = try await open("p1")
        let ids = try await log.persist((0..<5).map { Event(id: "\($0)", type: "t") })
        let consumer = try await log.consumer("model")
        try await checkpoint(consumer, at: 2)
        #expect(try await log.wait(for: "model", toPass: ids[4], timeout: .zero) == .timedOut(behindBy: 3))
        #expect(try await log.wait(for: "model", toPass: ids[1], timeout: .zero) == .reached)
        await log.shutDown()
    }

    @Test func `whoever waits for nobody, for a log that has ended, or any longer is told`() async throws {
        let log = try await open("p1")
        let id = try await log.persist(Event(id: "a", type: "t"))
        await #expect(throws: TidemarkError.unknownConsumer(stream: "events", consumer: "model", known: [])) {
            try await log.wait(for: "model", toPass: id, timeout: .seconds(60))
        }
        _ = try await log.consumer("model")
        let asked = questions()
        let wait = Task { try await log.wait(for: "model", toPass: id, timeout: .seconds(60)) }
        await asked.arrivals(1)
        wait.cancel()
        await #expect(throws: CancellationError.self) { try await wait.value }
        await log.shutDown()
        await #expect(throws: TidemarkError.stopped(stream: "events", instance: "p1")) {
            try await log.wait(for: "model", toPass: id, timeout: .seconds(60))
        }
        #expect(log.generator.checkpoints.count == 0)
    }
}

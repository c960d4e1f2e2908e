import Logging
import Synchronization
import TestSupport
import Testing
import TidemarkTesting

@testable import Tidemark

/// The orderly end of a log: what it waits for, and for how long.
@Suite struct LogEndingTests {
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

    //  caller a: its group waits for somebody's lock
    //  caller b: waits behind it
    //  the log is told to end
    //  6 s     b fails; nothing more is begun
    //  8 s     the writer could not leave: it says so
    //  the lock is free
    //          a is told that it is persisted, and only then the leave comes through
    @Test(arguments: [true, false])
    func `an end that cannot come has a limit, and says what is left`(runs: Bool) async throws {
        let log = try await open()
        let (persisting, leaving) = (Gate(), Gate())
        store.setHook { operation, moment in
            guard moment == .before else { return }
            if operation == .persist { await persisting.pass() }
            if operation == .leave { await leaving.pass() }
        }
        let a = Task { try await log.persist(event("a")) }
        await persisting.arrivals()
        let b = Task { try await log.persist(event("b")) }
        while log.persister.waitingCount < 1 { await Task.yield() }
        let ending = Task {
            if runs {
                let running = Task { try await log.run() }
                running.cancel()
                try await running.value
            }
            return await log.shutDown()
        }
        while log.persister.state.withLock({ $0.stopped }) == nil { await Task.yield() }
        await clock.waitForSleepers(1)
        clock.advance(by: .seconds(6))
        let stopped = TidemarkError.stopped(stream: "events", instance: "p1")
        await #expect(throws: stopped) { try await b.value }
        await leaving.arrivals()
        clock.advance(by: .seconds(2))
        let outcome = try await ending.value
        guard case .stillMember("events", Writer("p1", epoch: 1), _) = outcome else {
            Issue.record("it ended with \(outcome)")
            return
        }
        #expect("\(outcome)".contains("p1#1 could not leave stream events"))
        #expect(await log.shutDown() == outcome)
        #expect(members == [Writer("p1", epoch: 1)])
        // One after the other: a leave that came first would refuse the group.
        persisting.open()
        #expect(try await a.value == 1)
        leaving.open()
    }

    //  log                              database
    //                                   the writer is retired
    //  its heartbeat says so: joins
    //  ends: waits for the join
    //                                   p1#3 is a member
    //  leaves
    @Test func `a writer that joins again while its log ends leaves again`() async throws {
        let log = try await open()
        let gate = Gate()
        store.setHook { operation, moment in
            if operation == .join, moment == .before { await gate.pass() }
        }
        try await store.retire("events", instance: "p1")
        let writer = try #require(log.writer)
        let beat = Task { try await log.generator.beat(as: writer) }
        await gate.arrivals()
        let ending = Task { await log.shutDown() }
        while log.writer != nil { await Task.yield() }
        gate.open()
        #expect(await ending.value == .left)
        await #expect(throws: TidemarkError.stopped(stream: "events", instance: "p1")) { try await beat.value }
        #expect(members == [])
    }

    /// Whoever ends the log does not wait for it: it comes when the log is over.
    @Test func `a writer that has joined again after its log has ended leaves by itself`() async throws {
        let log = try await open()
        let (joining, leaving) = (Gate(), Gate())
        let hasEnded = Atomic(false)
        store.setHook { operation, moment in
            if operation == .join, moment == .before { await joining.pass() }
            // A store takes back a write that waits in a task that is cancelled.
            if operation == .leave, moment == .before, hasEnded.load(ordering: .acquiring) {
                #expect(!Task.isCancelled)
            }
            if operation == .leave, moment == .after { await leaving.pass() }
        }
        try await store.retire("events", instance: "p1")
        let writer = try #require(log.writer)
        let beat = Task { try await log.generator.beat(as: writer) }
        await joining.arrivals()
        let ending = Task { await log.shutDown() }
        await clock.waitForSleepers(1)
        clock.advance(by: .seconds(8))
        _ = await ending.value
        hasEnded.store(true, ordering: .releasing)
        joining.open()
        while !members.isEmpty || leavesMissing { await Task.yield() }
        leaving.open()
        await #expect(throws: (any Error).self) { try await beat.value }
        #expect(members == [])
    }

    /// Opens a log, has it do what logs do, and ends it.
    private func partsOfALogThatHasEnded(_ instance: InstanceName?, runs: Bool) async throws -> [Weak] {
        let log = try await EventLog.open(
            store, instance: instance, transport: LocalTransport(), time: TimeSource(clock),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let running = runs ? Task { try await log.run() } : nil
        if instance != nil {
            try await log.persist(event("a"))
            try await log.withNextID { id in _ = try await log.persist(event("b"), as: id) }
            try await store.retire("events", instance: "p1")
            try await log.persist(event("c"))
        }
        try await log.reconcile()
        running?.cancel()
        try await running?.value
        #expect(await log.shutDown() == .left)
        let parts: [AnyObject] = [
            log, log.generator, log.persister, log.reader,
        ]
        return parts.map { Weak(object: $0) }
    }

    private struct Weak {
        weak var object: AnyObject?
    }

    @Test(arguments: ["p1", nil] as [InstanceName?], [true, false])
    func `a log that has ended leaves nothing of itself in memory`(instance: InstanceName?, runs: Bool) async throws {
        let parts = try await partsOfALogThatHasEnded(instance, runs: runs)
        // Lets those go who sleep for a moment; those who are awake end by themselves.
        clock.advance(by: .seconds(100))
        for _ in 0..<100_000 where parts.contains(where: { $0.object != nil }) { await Task.yield() }
        #expect(parts.compactMap { $0.object.map { "\(type(of: $0))" } } == [])
    }

    /// Whether the join is still to come, or has not been followed by a leave.
    private var leavesMissing: Bool {
        (store.database.streams["events"]?.writers["p1"]?.epoch ?? 0) < 4
    }
}

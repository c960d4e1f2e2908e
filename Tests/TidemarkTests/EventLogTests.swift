import Logging
import Synchronization
import TestSupport
import Testing
import Tidemark
import TidemarkTesting

/// Logs on one store in memory, in tests that force the interleavings of the design's rules.
@Suite struct EventLogTests {
    let store = InMemoryEventStore()
    let transport = LocalTransport()

    func open(
        _ instance: InstanceName?, transport: (any ReplicationTransport)? = nil,
        configuration: EventLogConfiguration = EventLogConfiguration(), time: TimeSource = .continuous
    ) async throws -> EventLog {
        try await EventLog.open(
            store, instance: instance, transport: transport, configuration: configuration, time: time,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    func event(_ id: String) -> Event { Event(id: id, type: "test", payload: Array(id.utf8)) }

    /// The ids of the next events, at least so many.
    func read(_ count: Int, from batches: EventBatches) async throws -> [String] {
        var ids: [String] = []
        for try await batch in batches {
            ids += batch.events.map(\.event.id)
            if ids.count >= count { break }
        }
        return ids
    }

    @Test func `what is persisted is read in order`() async throws {
        let log = try await open("p1", transport: transport)
        let ids = try await log.persist([event("a"), event("b")])
        #expect(ids == [1, 2])
        #expect(try await log.persist(event("c")) == 3)
        #expect(try await read(3, from: log.events()) == ["a", "b", "c"])
        #expect(try await read(1, from: log.events(after: 2)) == ["c"])
        let found = try #require(try await log.event(withID: "b"))
        #expect(found.streamID == 2 && found.instance == "p1" && found.event == event("b"))
        await log.shutDown()
    }

    @Test func `the same ID again writes nothing`() async throws {
        let log = try await open("p1")
        #expect(try await log.persist([event("a"), event("b"), event("a")]) == [1, 2, 1])
        #expect(try await log.persist(event("b")) == 2)
        let reused = try await log.withNextID { id in try await log.persist(event("a"), as: id) }
        #expect(reused == 1)
        #expect(store.database.streams["events"]?.rows[3]?.isTombstone == true)
        #expect(log.generator.minimumPersistedPosition == 3)
        await log.shutDown()
    }

    /// Swift's strings equate different bytes; ids do not.
    @Test func `IDs are compared as bytes`() async throws {
        let log = try await open("p1")
        #expect(try await log.persist([event("\u{E9}"), event("e\u{301}")]) == [1, 2])
        await log.shutDown()
    }

    // MARK: Rule 7

    /// p1 is idle, the reader has its watermark; p2 joins, allocates and commits below what p1 commits later.
    @Test func `a writer that joins between watermark and snapshot is not skipped`() async throws {
        //  reader   watermark 2 ………………………………………… snapshot: version differs → again
        //  p1       1, 2 committed
        //  p2                      joins, holds 3
        //  p1                                  commits 4
        let first = try await open("p1")
        try await first.persist([event("a"), event("b")])
        let reader = try await open(nil)
        let gate = Gate()
        let isFirst = Mutex(true)
        store.setHook { operation, moment in
            guard operation == .snapshot, moment == .before else { return }
            if isFirst.withLock({ value in
                defer { value = false }; return value
            }) {
                await gate.pass()
            }
        }
        let reading = Task { try await read(4, from: reader.events()) }
        await gate.arrivals()
        let second = try await open("p2")
        let holding = Gate()
        let late = Task {
            try await second.withNextID { id in
                #expect(id == 3)
                await holding.pass()
                return try await second.persist(event("late"), as: id)
            }
        }
        await holding.arrivals()
        #expect(try await first.persist(event("c")) == 4)
        gate.open()
        holding.open()
        #expect(try await late.value == 3)
        #expect(try await reading.value == ["a", "b", "late", "c"])
        for log in [first, second, reader] { await log.shutDown() }
    }

    @Test func `without writers a reader reads to the end`() async throws {
        let log = try await open("p1")
        try await log.persist([event("a"), event("b")])
        let gate = Gate()
        let abandoned = Task {
            // A scope that nobody ends: its ID is given up with its writer.
            try await log.withNextID { _ in await gate.pass() }
        }
        await gate.arrivals()
        try await log.persist(event("c"))
        let reader = try await open(nil)
        await log.shutDown()
        #expect(try await read(3, from: reader.events()) == ["a", "b", "c"])
        gate.open()
        _ = await abandoned.result
        await reader.shutDown()
    }

    // MARK: Rule 1

    @Test func `a zombie is not heard`() async throws {
        let zombie = try await open("p1", transport: transport)
        let reader = try await open(nil, transport: transport)
        let heir = try await open("p1", transport: transport)
        let gate = Gate()
        let late = Task {
            try await heir.withNextID { id in
                await gate.pass()
                return try await heir.persist(event("late"), as: id)
            }
        }
        await gate.arrivals()
        let other = try await open("p2", transport: transport)
        try await other.persist(event("b"))
        try await reader.reconcile()
        let old = try #require(zombie.writer)
        #expect(old == Writer("p1", epoch: 1))
        transport.inject(.position(ReplicationPosition(stream: "events", writer: old, previous: 2, new: 2)))
        #expect(reader.generator.minimumPersistedPosition == 0)
        gate.open()
        #expect(try await late.value == 1)
        #expect(try await read(2, from: reader.events()) == ["late", "b"])
        await #expect(throws: TidemarkError.self) { try await zombie.persist(event("c")) }
        await #expect(
            throws: TidemarkError.instanceTaken(
                stream: "events", writer: old, by: Writer("p1", epoch: 2))
        ) { try await zombie.persist(event("c")) }
        for log in [zombie, reader, heir, other] { await log.shutDown() }
    }

    // MARK: Rule 5

    /// The commit is on its way when the scope's time runs out: the tombstone is there first.
    @Test func `a commit that arrives after its ID was abandoned is refused`() async throws {
        let clock = ManualClock()
        let log = try await open("p1", time: TimeSource(clock))
        let gate = Gate()
        store.setHook { operation, moment in
            if operation == .persistAs(1), moment == .before { await gate.pass() }
        }
        let scope = Task {
            try await log.withNextID(timeLimit: .seconds(2)) { id in try await log.persist(event("late"), as: id) }
        }
        await gate.arrivals()
        let before = log.generator.watermark
        await clock.waitForSleepers(1)
        clock.advance(by: .seconds(2))
        await log.generator.waitForChange(from: before)
        gate.open()
        await #expect(throws: TidemarkError.closed(stream: "events", instance: "p1", id: 1)) {
            try await scope.value
        }
        #expect(log.generator.minimumPersistedPosition == 1)
        await log.shutDown()
    }

    /// The answer to a commit is lost: the event is there, and its ID counts as committed.
    @Test func `a commit whose answer was lost is found`() async throws {
        struct ConnectionLost: Error {}
        let log = try await open("p1")
        store.setHook { operation, moment in
            if operation == .persistAs(1), moment == .after { throw ConnectionLost() }
        }
        await #expect(throws: ConnectionLost.self) {
            try await log.withNextID { id in try await log.persist(event("a"), as: id) }
        }
        store.setHook(nil)
        #expect(try await log.event(withID: "a")?.streamID == 1)
        #expect(try await read(1, from: log.events()) == ["a"])
        await log.shutDown()
    }

    @Test func `an ID is only for its scope`() async throws {
        let log = try await open("p1")
        let id = try await log.withNextID { $0 }
        await #expect(throws: TidemarkError.closed(stream: "events", instance: "p1", id: id)) {
            try await log.persist(event("a"), as: id)
        }
        // Nobody put an event under it, so it was abandoned.
        #expect(store.database.streams["events"]?.rows[id]?.isTombstone == true)
        await log.shutDown()
    }
}

extension InMemoryDatabase.Row {
    var isTombstone: Bool {
        if case .tombstone = self { true } else { false }
    }
}

import Logging
import Synchronization
import TestSupport
import Testing
import Tidemark
import TidemarkTesting

@Suite struct ReadingTests {
    let store = InMemoryEventStore()

    func open(_ instance: InstanceName?, time: TimeSource = .continuous) async throws -> EventLog {
        try await EventLog.open(
            store, instance: instance, time: time, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    func event(_ id: String) -> Event { Event(id: id, type: "test") }

    @Test func `a consumer goes on from its checkpoint`() async throws {
        let log = try await open("p1")
        try await log.persist([event("a"), event("b")])
        let first = try await log.consumer("mailer")
        for try await batch in first.events {
            try await first.checkpoint(batch)
            break
        }
        try await log.persist(event("c"))
        let second = try await log.consumer("mailer")
        #expect(second.claim.position == 2)
        for try await batch in second.events {
            #expect(batch.events.map(\.event.id) == ["c"])
            break
        }
        await log.shutDown()
    }

    @Test func `a second reader takes a consumer over`() async throws {
        let log = try await open("p1")
        try await log.persist([event("a"), event("b")])
        let first = try await log.consumer("mailer")
        var batches = first.events.makeAsyncIterator()
        let batch = try #require(try await batches.next())
        let second = try await log.consumer("mailer")
        await #expect(throws: TidemarkError.consumerTaken(stream: "events", consumer: "mailer")) {
            try await first.checkpoint(batch)
        }
        // Idle, it notices too.
        await #expect(throws: TidemarkError.consumerTaken(stream: "events", consumer: "mailer")) {
            try await batches.next()
        }
        try await second.checkpoint(batch)
        try await second.checkpoint(
            EventBatch(events: batch.events, through: 1, snapshot: SnapshotMark(newestCommit: 1)))
        #expect(store.database.streams["events"]?.consumers["mailer"]?.position == 2)
        await log.shutDown()
    }

    /// Rule 7: it may have been suspended, and the database put back meanwhile.
    @Test func `who has not agreed with the database for two seconds asks it before it reads`() async throws {
        let clock = ManualClock()
        let log = try await open("p1", time: TimeSource(clock))
        var batches = log.events().makeAsyncIterator()
        try await log.persist(event("a"))
        _ = try await batches.next()
        let asked = Mutex<[InMemoryEventStore.Operation]>([])
        store.setHook { operation, moment in
            if moment == .before, operation != .persist { asked.withLock { $0.append(operation) } }
        }
        try await log.persist(event("b"))
        _ = try await batches.next()
        #expect(asked.withLock { $0 } == [.snapshot])
        try await log.persist(event("c"))
        asked.withLock { $0 = [] }
        clock.advance(by: .seconds(3))
        _ = try await batches.next()
        #expect(asked.withLock { $0 }.first == .reconciliation && asked.withLock { $0 }.last == .snapshot)
        store.setHook(nil)
        await log.shutDown()
    }

    //  first                            second
    //  has read everything
    //                                   takes the consumer over
    //  reads what has come since
    @Test func `who was taken over is given nothing more`() async throws {
        let log = try await open("p1")
        try await log.persist(event("a"))
        let first = try await log.consumer("mailer")
        var batches = first.events.makeAsyncIterator()
        var raw = first.rawEvents
        _ = try await batches.next()
        _ = try await raw.next(into: 0) { count, _ in count += 1 }
        _ = try await log.consumer("mailer")
        try await log.persist(event("b"))
        let taken = TidemarkError.consumerTaken(stream: "events", consumer: "mailer")
        await #expect(throws: taken) { try await batches.next() }
        await #expect(throws: taken) { try await raw.next(into: 0) { count, _ in count += 1 } }
        await log.shutDown()
    }

    @Test func `a consumer that is in use is left alone unless it is to be taken over`() async throws {
        let log = try await open(nil)
        _ = try await log.consumer("mailer")
        await #expect(throws: TidemarkError.consumerInUse(stream: "events", consumer: "mailer", by: nil)) {
            try await log.consumer("mailer", whenTaken: .fail)
        }
        _ = try await log.consumer("mailer")
        store.endProcess(ofConsumer: "mailer", in: "events")
        _ = try await log.consumer("mailer", whenTaken: .fail)
        await log.shutDown()
    }

    @Test func `who begins beyond the sequence is told`() async throws {
        let log = try await open("p1")
        try await log.persist(event("a"))
        var batches = log.events(after: 2).makeAsyncIterator()
        let error = await #expect(throws: TidemarkError.self) { try await batches.next() }
        guard case .databaseWentBackwards("events", 2, _) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        await log.shutDown()
    }

    @Test func `a batch from before a restore moves no checkpoint`() async throws {
        let log = try await open("p1")
        try await log.persist(event("a"))
        let consumer = try await log.consumer("mailer")
        let backup = store.database
        try await log.persist(event("b"))
        var batches = consumer.events.makeAsyncIterator()
        let batch = try #require(try await batches.next())
        store.restore(backup)
        // It comes as far again, so that the sequence does not tell.
        let other = try await open("p2")
        try await other.persist([event("c"), event("d")])
        let error = await #expect(throws: TidemarkError.self) { try await consumer.checkpoint(batch) }
        guard case .databaseWentBackwards("events", 2, _) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(store.database.streams["events"]?.consumers["mailer"]?.position == 0)
        // Nor does the writer write to a database that has not what it has committed.
        let refused = await #expect(throws: TidemarkError.self) { try await log.persist(event("e")) }
        guard case .databaseWentBackwards = refused else {
            Issue.record("\(String(describing: refused))")
            return
        }
        for log in [log, other] { await log.shutDown() }
    }

    @Test func `a batch that is to end before its beginning gives no false alarm`() async throws {
        let log = try await open("p1")
        let consumer = try await log.consumer("mailer")
        var batches = consumer.events.makeAsyncIterator()
        try await log.persist([event("a"), event("b")])
        _ = try await batches.next()
        try await log.persist([event("c"), event("d")])
        let batch = try #require(try await batches.next())
        try await consumer.checkpoint(batch.ending(at: 1))
        var audit = try await consumer.audit()
        #expect(audit.position == 1 && audit.isComplete && audit.delivered == nil)
        try await consumer.checkpoint(batch.ending(at: 3))
        audit = try await consumer.audit()
        #expect(audit.position == 3 && audit.isComplete && audit.delivered == 3)
        await log.shutDown()
    }

    @Test func `a database that was put back is an error`() async throws {
        let log = try await open("p1")
        try await log.persist(event("a"))
        let backup = store.database
        try await log.persist(event("b"))
        var batches = log.events().makeAsyncIterator()
        _ = try await batches.next()
        store.restore(backup)
        let other = try await open("p2")
        try await other.persist(event("c"))
        log.generator.recordFinished([3])
        await #expect(throws: TidemarkError.self) { try await batches.next() }
        for log in [log, other] { await log.shutDown() }
    }

    @Test func `waiting ends when a snapshot has confirmed the minimum`() async throws {
        let log = try await open("p1")
        let id = try await log.persist(event("a"))
        #expect(try await log.waitUntilPersisted(id, timeout: .seconds(10)) == .reached)
        await log.shutDown()
    }

    @Test func `waiting names who holds it back`() async throws {
        let clock = ManualClock()
        let log = try await open("p1", time: TimeSource(clock))
        let gate = Gate()
        let scope = Task { try await log.withNextID { _ in await gate.pass() } }
        await gate.arrivals()
        try await log.persist(event("a"))
        let waiting = Task { try await log.waitUntilPersisted(2, timeout: .milliseconds(500)) }
        // The scope's limit, and the one who waits.
        await clock.waitForSleepers(2)
        clock.advance(by: .milliseconds(500))
        let expected = HeldBack(instance: "p1", reason: .inFlight(1), since: .milliseconds(500))
        #expect(try await waiting.value == .timedOut(heldBackBy: expected))
        #expect(try await log.explain().heldBackBy == expected)
        gate.open()
        try await scope.value
        #expect(try await log.waitUntilPersisted(2, timeout: .zero) == .reached)
        #expect(try await log.explain().heldBackBy == nil)
        await log.shutDown()
    }

    @Test func `who reads a stream that is not there waits for it`() async throws {
        let reader = try await open(nil)
        let reading = Task {
            var batches = reader.events().makeAsyncIterator()
            return try await batches.next()?.events.map(\.event.id)
        }
        let log = try await open("p1")
        try await log.persist(event("a"))
        #expect(try await reading.value == ["a"])
        for log in [log, reader] { await log.shutDown() }
    }

    @Test func `a reader ends with its log`() async throws {
        let log = try await open("p1")
        let reading = Task {
            var batches = log.events().makeAsyncIterator()
            return try await batches.next()
        }
        await log.shutDown()
        await #expect(throws: TidemarkError.stopped(stream: "events", instance: "p1")) { try await reading.value }
    }
}

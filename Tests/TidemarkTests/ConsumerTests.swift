import Logging
import Synchronization
import TestSupport
import Testing
import Tidemark
import TidemarkTesting

@Suite struct ConsumerTests {
    let store = InMemoryEventStore()

    private func open(
        _ instance: InstanceName?, filteredIDs: Int = 100_000, time: TimeSource = .continuous
    ) async throws -> EventLog {
        var configuration = EventLogConfiguration()
        configuration.filteredIDs = filteredIDs
        return try await EventLog.open(
            store, instance: instance, configuration: configuration, time: time,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    private func events(_ numbers: Range<Int>, type: String = "noted", key: String? = nil) -> [Event] {
        numbers.map { Event(id: "\(type)\($0)", type: type, key: key) }
    }

    private func row(_ name: ConsumerName) -> InMemoryDatabase.ConsumerRow? {
        store.database.streams["events"]?.consumers[name]
    }

    // MARK: Where it begins

    @Test func `a consumer that begins at the end is not given what was persisted before`() async throws {
        let log = try await open("p1")
        // No heartbeat has told the database of it yet: only this log has seen that it is finished.
        try await log.persist(events(0..<5))
        let consumer = try await log.consumer("mailer", from: .end)
        #expect(consumer.claim.position == 5)
        try await log.persist(events(5..<6))
        var batches = consumer.events.makeAsyncIterator()
        #expect(try await batches.next()?.events.map(\.event.id) == ["noted5"])
        await log.shutDown()
    }

    /// p1 holds 1 while 2 is committed. A consumer that began at 2 would never be given 1.
    @Test func `a consumer that begins at the end is given an event that was in flight then`() async throws {
        let log = try await open("p1")
        let consumer = try await log.withNextID { id in
            #expect(id == 1)
            try await log.persist(events(0..<1))
            let consumer = try await log.consumer("mailer", from: .end)
            #expect(consumer.claim.position == 0)
            try await log.persist(Event(id: "late", type: "noted"), as: id)
            return consumer
        }
        var batches = consumer.events.makeAsyncIterator()
        #expect(try await batches.next()?.events.map(\.event.id) == ["late", "noted0"])
        await log.shutDown()
    }

    @Test func `a place that is kept elsewhere is gone on from, and a restore is seen there too`() async throws {
        let log = try await open("p1")
        try await log.persist(events(0..<1))
        let backup = store.database
        try await log.persist(events(1..<3))
        let consumer = try await log.consumer("mailer")
        var batches = consumer.events.makeAsyncIterator()
        let batch = try #require(try await batches.next())
        let place = try #require(EventPlace("\(batch.place)"))
        #expect(place == batch.place && place.id == 3 && place.mark != nil)
        #expect(try await log.consumer("other", from: .after(place)).claim.position == 3)
        await log.shutDown()
        // The backup is put back, and comes as far as it was.
        store.restore(backup)
        let again = try await open("p2")
        try await again.persist(events(10..<14))
        try await again.reconcile()
        let error = await #expect(throws: TidemarkError.self) {
            try await again.consumer("third", from: .after(place))
        }
        guard case .databaseWentBackwards(_, 3, _) = error else { return #expect(Bool(false), "\(error as Any)") }
        #expect(row("third") == nil)
        await again.shutDown()
    }

    // MARK: Filters

    @Test func `the checkpoint of a consumer moves past what its filter leaves out`() async throws {
        let log = try await open("p1")
        try await log.persist(events(0..<3, type: "other") + events(0..<1) + events(3..<5, type: "other"))
        let consumer = try await log.consumer("mailer", filter: .types(["noted"]))
        var batches = consumer.events.makeAsyncIterator()
        let batch = try #require(try await batches.next())
        #expect(batch.events.map(\.event.id) == ["noted0"] && batch.through == 6)
        try await consumer.checkpoint(batch)
        #expect(row("mailer")?.position == 6 && row("mailer")?.passed?.streamID == 6)
        try await log.persist(events(5..<8, type: "other"))
        let empty = try #require(try await batches.next())
        #expect(empty.events.isEmpty && empty.through == 9)
        try await consumer.checkpoint(empty)
        #expect(row("mailer")?.position == 9 && row("mailer")?.passed?.streamID == 9)
        #expect(row("mailer")?.delivered?.count == 1)
        #expect(try await consumer.audit().isComplete)
        await log.shutDown()
    }

    @Test func `a snapshot of a filtered consumer looks at so many IDs, and a long way without events is checkpointed`()
        async throws
    {
        let log = try await open("p1", filteredIDs: 10)
        try await log.persist(events(0..<250, type: "other") + events(0..<1))
        let widest = Mutex<Int64>(0)
        let consumer = try await log.consumer("mailer", filter: .types(["noted"]))
        store.setHook { operation, moment in
            if operation == .snapshot, moment == .before { widest.withLock { $0 += 1 } }
        }
        var batches = consumer.events.makeAsyncIterator()
        var ends: [StreamID] = []
        while ends.last != 251 {
            let batch = try #require(try await batches.next())
            #expect(batch.events.isEmpty == (batch.through != 251))
            ends.append(batch.through)
            try await consumer.checkpoint(batch)
            #expect(row("mailer")?.position == batch.through)
        }
        #expect(ends == [100, 200, 251])
        #expect(widest.withLock { $0 } >= 26)
        await log.shutDown()
    }

    @Test func `a consumer that is asked for with another filter says which one it has`() async throws {
        let log = try await open("p1")
        _ = try await log.consumer("mailer", filter: .types(["noted"]))
        let error = await #expect(throws: TidemarkError.self) { try await log.consumer("mailer") }
        #expect(error == .filterDiffers(stream: "events", consumer: "mailer", stored: .types(["noted"])))
        #expect("\(error as Any)".contains("type \"noted\"") && error?.kind == .callerMistake)
        try await log.changeFilter(of: "mailer", to: .all)
        _ = try await log.consumer("mailer")
        #expect(try await log.consumers().map(\.filter) == [.all])
        try await log.deleteConsumer("mailer", takingOver: true)
        #expect(try await log.consumers().isEmpty)
        await log.shutDown()
    }

    // MARK: Standing by

    /// The second one looks, finds the first alive, and looks again; then the process of the first is gone.
    @Test func `a second process stands by until the first is gone, and goes on from its checkpoint`() async throws {
        let log = try await open("p1")
        try await log.persist(events(0..<3))
        let first = try await log.consumer("mailer")
        var batches = first.events.makeAsyncIterator()
        try await first.checkpoint(try #require(try await batches.next()).ending(at: 2))
        let hasLooked = Gate()
        hasLooked.open()
        store.setHook { operation, moment in
            guard operation == .status, moment == .after else { return }
            await hasLooked.pass()
        }
        let second = try await open(nil)
        let standby = Task { try await second.consumer("mailer", whenTaken: .standBy) }
        await hasLooked.arrivals(2)
        // The first one has not been stopped by that.
        try await store.verify(first.claim)
        store.endProcess(ofConsumer: "mailer", in: "events")
        #expect(try await standby.value.claim.position == 2)
        await #expect(throws: TidemarkError.consumerTaken(stream: "events", consumer: "mailer")) {
            try await store.verify(first.claim)
        }
        await second.shutDown()
        await log.shutDown()
    }

    //  slower                          quicker
    //  sees that the first is gone
    //                                  claims the consumer
    //  claims it: in use, looks again
    @Test func `of two that stand by one gets the consumer, and the other goes on standing by`() async throws {
        let log = try await open("p1")
        _ = try await log.consumer("mailer")
        let quicker = Mutex<ConsumerClaim?>(nil)
        let claims = Mutex(0)
        let looks = Gate()
        looks.open()
        store.setHook { [store] operation, moment in
            switch (operation, moment) {
            case (.status, .before): store.endProcess(ofConsumer: "mailer", in: "events")
            case (.status, .after): await looks.pass()
            case (.claim, .before):
                // The slower one's first claim, its second, and the quicker one's own within that.
                guard
                    claims.withLock({
                        $0 += 1; return $0
                    }) == 2
                else { return }
                let claim = try await store.claimConsumer("mailer", in: "events", takingOver: false)
                quicker.withLock { $0 = claim }
            default: break
            }
        }
        let other = try await open(nil)
        let slower = Task { try await other.consumer("mailer", whenTaken: .standBy) }
        await looks.arrivals(1)
        while quicker.withLock({ $0 }) == nil { await Task.yield() }
        let hold = InMemoryEventStore.Operation.status
        store.setHook { operation, _ in if operation == hold { await looks.pass() } }
        await looks.arrivals(2)
        try await store.verify(try #require(quicker.withLock { $0 }))
        slower.cancel()
        await #expect(throws: CancellationError.self) { try await slower.value }
        await other.shutDown()
        await log.shutDown()
    }

    /// As after an error that has ended what it had before.
    @Test func `whoever stands by does not wait for a reader of the same log`() async throws {
        let log = try await open("p1")
        let first = try await log.consumer("mailer", whenTaken: .standBy)
        let second = try await log.consumer("mailer", whenTaken: .standBy)
        try await store.verify(second.claim)
        await #expect(throws: TidemarkError.consumerTaken(stream: "events", consumer: "mailer")) {
            try await store.verify(first.claim)
        }
        await log.shutDown()
    }

    @Test func `whoever stands by when the log is shut down is told`() async throws {
        let log = try await open("p1")
        _ = try await log.consumer("mailer")
        let hasAsked = Gate()
        hasAsked.open()
        store.setHook { operation, moment in
            if operation == .status, moment == .after { await hasAsked.pass() }
        }
        let other = try await open("p2")
        let standby = Task { try await other.consumer("mailer", whenTaken: .standBy) }
        await hasAsked.arrivals()
        await other.shutDown()
        await #expect(throws: TidemarkError.stopped(stream: "events", instance: "p2")) { try await standby.value }
        await log.shutDown()
    }
}

import Logging
import Synchronization
import TestSupport
import Testing
import TidemarkTesting

@testable import Tidemark

/// Events that are persisted only if the newest event of their key is the one expected.
@Suite struct ConditionalPersistTests {
    let store = InMemoryEventStore()

    func open(_ instance: InstanceName = "p1") async throws -> EventLog {
        try await EventLog.open(
            store, instance: instance, configuration: EventLogConfiguration(hasKeyIndex: true),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    func event(_ id: String, _ key: String = "k") -> Event { Event(id: id, type: "test", key: key) }

    func keys(_ key: String = "k") -> [String] {
        (try? store.database.events(ofKey: key, in: "events", after: 0, limit: 100, byteLimit: .max).map(\.event.id))
            ?? []
    }

    /// The first group is held up until the others have come, so that these are one group.
    @Test func `of callers in one group a conflict fails its own alone, and each sees what the earlier ones did`()
        async throws
    {
        let log = try await open()
        let one = try await log.persist(event("1"))
        let gate = Gate()
        let groups = Mutex(0)
        store.setHook { operation, moment in
            guard operation == .persist, moment == .before else { return }
            if groups.withLock({
                $0 += 1; return $0
            }) == 1 {
                await gate.pass()
            }
        }
        let first = Task { try await log.persist(event("x", "other")) }
        await gate.arrivals()
        var calls: [Task<[StreamID], any Error>] = []
        for id in ["a", "b", "c"] {
            let expected = id == "c" ? nil : one
            let key = id == "c" ? "l" : "k"
            calls.append(Task { try await log.persist([event(id, key)], ifNewest: expected, ofKey: key) })
            while log.persister.waitingCount != calls.count { await Task.yield() }
        }
        gate.open()
        _ = try await first.value
        let winner = try await calls[0].value
        await #expect(throws: TidemarkError.conflict(key: "k", expected: one, found: winner[0])) {
            try await calls[1].value
        }
        #expect(try await calls[2].value.count == 1)
        #expect(groups.withLock { $0 } == 2)
        #expect(keys() == ["1", "a"] && keys("l") == ["c"])
        await log.shutDown()
    }

    /// Fails the first group at this moment: nobody knows what became of it.
    private func failFirst(_ failing: InMemoryEventStore.Moment) {
        let hasFailed = Mutex(false)
        store.setHook { operation, moment in
            guard operation == .persist, moment == failing else { return }
            let isFirst = hasFailed.withLock { failed in
                defer { failed = true }
                return !failed
            }
            if isFirst {
                throw TidemarkError.outcomeUnknown(stream: "events", events: [], problem: "the connection broke")
            }
        }
    }

    @Test(arguments: [InMemoryEventStore.Moment.before, .after])
    func `a call whose outcome is unknown does not conflict with itself`(_ moment: InMemoryEventStore.Moment)
        async throws
    {
        let log = try await open()
        failFirst(moment)
        #expect(try await log.persist([event("a"), event("b")], ifNewest: nil, ofKey: "k") == [1, 2])
        #expect(keys() == ["a", "b"])
        #expect(try await log.waitUntilPersisted(2, timeout: .seconds(10)) == .reached)
        await log.shutDown()
    }

    @Test func `a conflict is told although the answer of its group was lost`() async throws {
        let log = try await open()
        try await log.persist(event("1"))
        failFirst(.after)
        await #expect(throws: TidemarkError.conflict(key: "k", expected: nil, found: 1)) {
            try await log.persist([event("a")], ifNewest: nil, ofKey: "k")
        }
        await log.shutDown()
    }

    @Test func `a caller that has its thread is told of a conflict, too`() async throws {
        let log = try await open()
        try await log.persist(event("1"))
        store.setImmediateHook { true }
        await #expect(throws: TidemarkError.conflict(key: "k", expected: nil, found: 1)) {
            try await log.persist([event("a")], ifNewest: nil, ofKey: "k")
        }
        #expect(try await log.persist([event("a")], ifNewest: 1, ofKey: "k") == [2])
        await log.shutDown()
    }

    @Test func `events of a key come in pages, which end where none is left`() async throws {
        var configuration = EventLogConfiguration(hasKeyIndex: true)
        configuration.batchEvents = 2
        let log = try await EventLog.open(store, instance: "p1", configuration: configuration)
        try await log.persist((1...5).map { event("\($0)") })
        var found: [String] = []
        var last: StreamID = 0
        while let next = try await log.events(ofKey: "k", after: last).last?.streamID {
            let page = try await log.events(ofKey: "k", after: last)
            #expect(page.count <= 2)
            found += page.map(\.event.id)
            last = next
        }
        #expect(found == ["1", "2", "3", "4", "5"])
        await log.shutDown()
    }

    @Test func `a key is shown in an error, however long it is, and each error says what to do`() {
        let key = String(repeating: "k", count: 500)
        let errors: [TidemarkError] = [
            .conflict(key: key, expected: nil, found: 7), .conflict(key: key, expected: 3, found: nil),
            .keyPassed(stream: "events", key: key, id: 3, newest: 7),
        ]
        for error in errors { #expect("\(error)".contains("key \"kkk") && "\(error)".utf8.count < 350) }
        #expect(errors.map(\.kind) == [.callerMistake, .callerMistake, .tryAgain])
    }
}

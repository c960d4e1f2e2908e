import Dispatch
import GRDB
import Logging
import Synchronization
import TestSupport
import Testing
import Tidemark
import TidemarkTesting

@testable import TidemarkSQLite

/// Blocks the thread of a transaction until it is told to end.
private final class Blocked: Sendable {
    private let semaphore = DispatchSemaphore(value: 0)

    func wait() { semaphore.wait() }
    func end() { semaphore.signal() }
}

@Suite struct ProcessorTests {
    let folder: TemporaryFolder
    let store: SQLiteEventStore
    let log: EventLog

    init() async throws {
        folder = try TemporaryFolder()
        store = try await SQLiteEventStore.open(path: folder.database)
        log = try await EventLog.open(
            store, instance: "p1", logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        try await store.write { db in
            try db.execute(sql: "CREATE TABLE balances (account TEXT PRIMARY KEY, amount INTEGER NOT NULL)")
        }
    }

    var configuration: ProcessorConfiguration {
        var configuration = ProcessorConfiguration(
            partitions: 2, maximumAttempts: 2, shortestDelay: .milliseconds(1), longestDelay: .milliseconds(1))
        configuration.silenceTimeout = .seconds(1)
        configuration.checkpointInterval = .milliseconds(1)
        return configuration
    }

    func event(_ id: String, key: String? = nil) -> Event { Event(id: id, type: "test", key: key) }

    func position() async throws -> StreamID? {
        try await store.status(of: "events")?.consumers.first { $0.name == "worker" }?.position
    }

    @Test func `each event is handled, and the checkpoint follows`() async throws {
        let calls = Mutex<Set<String>>([])
        for number in 0..<30 { try await log.persist(event("e\(number)", key: "k\(number % 7)")) }
        let worker = log.processor("worker", configuration: configuration) { event in
            calls.withLock { _ = $0.insert(event.event.id) }
        }
        try await worker.running { try await eventually { try await position() == 30 } }
        #expect(calls.withLock { $0.count } == 30)
        await log.shutDown()
    }

    @Test func `a handler that is given the transaction is handled exactly once`() async throws {
        for number in 0..<20 { try await log.persist(event("e\(number)", key: "k\(number % 4)")) }
        let failures = Mutex<Set<String>>([])
        let worker = log.processor(
            "worker", configuration: configuration,
            handleInTransaction: { event, db in
                try db.execute(
                    sql: """
                        INSERT INTO balances (account, amount) VALUES (?, 1)
                        ON CONFLICT (account) DO UPDATE SET amount = amount + 1
                        """, arguments: [event.event.key])
                // The first time each fails, after it has written.
                if failures.withLock({ $0.insert(event.event.id).inserted }) { throw CancellationError() }
            })
        try await worker.running { try await eventually { try await position() == 20 } }
        let amounts = try await store.read { try Int.fetchAll($0, sql: "SELECT amount FROM balances") }
        #expect(amounts == [5, 5, 5, 5])
        await log.shutDown()
    }

    //  handler of e0            somebody else
    //                           takes the partition over
    //  its transaction is refused
    @Test func `a transaction under a claim that is over writes nothing`() async throws {
        try await log.persist(event("e0", key: "k"))
        var configuration = configuration
        configuration.partitions = 1
        // The claim of the process that handles is raised before its transaction begins.
        let isRaised = Mutex(false)
        let worker = log.processor(
            "worker", configuration: configuration,
            handleInTransaction: { event, db in
                let isFirst = isRaised.withLock { isRaised in
                    defer { isRaised = true }
                    return !isRaised
                }
                try db.execute(
                    sql: "INSERT INTO balances (account, amount) VALUES (?, 1)",
                    arguments: [isFirst ? "first" : "second"])
                // As another process would have done just before: the passage finds it.
                if isFirst { try db.execute(sql: "UPDATE tidemark_partitions SET claim = claim + 1") }
            })
        try await worker.running { try await eventually { try await position() == 1 } }
        let accounts = try await store.read { try String.fetchAll($0, sql: "SELECT account FROM balances") }
        #expect(accounts == ["second"])
        await log.shutDown()
    }

    @Test func `what is handled late in its transaction is removed with it`() async throws {
        try await log.persist(event("e0", key: "k"))
        let isMended = Mutex(false)
        let worker = log.processor(
            "worker", configuration: configuration,
            handleInTransaction: { event, db in
                guard isMended.withLock({ $0 }) else { throw CancellationError() }
                #expect(HandlingContext.current?.isLate == true)
                try db.execute(sql: "INSERT INTO balances (account, amount) VALUES ('late', 1)")
            })
        try await worker.running {
            try await eventually { try await position() == 1 }
            #expect(try await log.parkedEvents(of: "worker").map(\.streamID) == [1])
            isMended.withLock { $0 = true }
            try await log.retryParked(of: "worker")
            try await eventually { try await log.parkedEvents(of: "worker").isEmpty }
        }
        #expect(try await store.read { try Int.fetchAll($0, sql: "SELECT amount FROM balances") } == [1])
        await log.shutDown()
    }

    //  handler of e0, in its transaction     the processor
    //                                        finds it over its limit: e0 is to be parked, and e1 behind it
    //                                        waits with that for the transaction
    //  commits: e0 is passed
    //                                        parks e1 alone
    @Test func `an event whose handler commits over its limit was handled, and is not parked too`() async throws {
        let clock = ManualClock()
        let timed = try await EventLog.open(
            store, stream: "timed", instance: "p2", time: TimeSource(clock, suspending: ManualClock()),
            logger: LogLines().logger)
        try await timed.persist([event("e0", key: "k"), event("e1", key: "k")])
        var configuration = configuration
        configuration.partitions = 1
        configuration.timeLimit = .milliseconds(20)
        let hasBegun = Mutex(false)
        let overdue = Blocked()
        let worker = timed.processor(
            "worker", configuration: configuration,
            handleInTransaction: { event, db in
                try db.execute(
                    sql: "INSERT INTO balances (account, amount) VALUES (?, 1)", arguments: [event.event.id])
                hasBegun.withLock { $0 = true }
                overdue.wait()
            })
        try await worker.running {
            do {
                // Whatever happens, the handler goes on.
                defer { overdue.end() }
                try await eventually("the handler is in its transaction") { hasBegun.withLock { $0 } }
                clock.advance(by: .milliseconds(20))
                try await eventually("it is over its limit") { worker.overdue == 1 }
            }
            try await eventually { try await timed.consumers().first?.position == 2 }
            #expect(try await timed.parkedEvents(of: "worker").map(\.streamID) == [2])
        }
        let accounts = try await store.read { try String.fetchAll($0, sql: "SELECT account FROM balances") }
        #expect(accounts == ["e0"])
        await timed.shutDown()
        await log.shutDown()
    }

    @Test func `what a handler writes that cannot be committed is a failure, and parked with its problem`() async throws
    {
        try await store.write { db in
            try db.execute(
                sql: "CREATE TABLE owned (account TEXT REFERENCES balances (account) DEFERRABLE INITIALLY DEFERRED)")
        }
        try await log.persist([event("e0", key: "k"), event("e1", key: "k")])
        let calls = Mutex<[String]>([])
        let worker = log.processor(
            "worker", configuration: configuration,
            handleInTransaction: { event, db in
                calls.withLock { $0.append(event.event.id) }
                if event.event.id == "e0" { try db.execute(sql: "INSERT INTO owned VALUES ('nobody')") }
            })
        try await worker.running { try await eventually { try await position() == 2 } }
        #expect(calls.withLock { $0 } == ["e0", "e0", "e1"])
        let parked = try await log.parkedEvents(of: "worker")
        #expect(parked.map(\.streamID) == [1] && parked.allSatisfy { $0.problem.contains("FOREIGN KEY") })
        await log.shutDown()
    }

    @Test func `what is parked in the transaction of the next event is said`() async throws {
        let lines = LogLines()
        let told = try await EventLog.open(store, stream: "told", instance: "p2", logger: lines.logger)
        try await told.persist((0..<6).map { event("e\($0)", key: "k") })
        var configuration = configuration
        configuration.partitions = 1
        configuration.maximumAttempts = 1
        // Only the transactions of the handlers pass events.
        configuration.checkpointInterval = .seconds(3_600)
        let worker = told.processor(
            "worker", configuration: configuration,
            handleInTransaction: { event, _ in
                if ["e1", "e3"].contains(event.event.id) { throw CancellationError() }
            })
        try await worker.running { try await eventually { try await told.consumers().first?.position == 6 } }
        let parked = lines.lines("an event was parked").compactMap { $0.metadata["event"].map { "\($0)" } }
        #expect(parked == ["2", "4"])
        await told.shutDown()
        await log.shutDown()
    }

    //  handler of e0, late, in its transaction
    //  drops e1, which was to be tried again after it
    @Test func `what was dropped is not handled any more`() async throws {
        try await log.persist([event("e0", key: "k"), event("e1", key: "k")])
        let isMended = Mutex(false)
        let late = Mutex<[String]>([])
        let worker = log.processor(
            "worker", configuration: configuration,
            handleInTransaction: { event, db in
                guard isMended.withLock({ $0 }) else { throw CancellationError() }
                late.withLock { $0.append(event.event.id) }
                try db.execute(sql: "DELETE FROM tidemark_parked WHERE stream_id = 2")
            })
        try await worker.running {
            try await eventually { try await position() == 2 }
            isMended.withLock { $0 = true }
            try await log.retryParked(of: "worker")
            try await eventually { try await log.parkedEvents(of: "worker").isEmpty }
            try await log.persist(event("e2", key: "k"))
            try await eventually { try await position() == 3 }
        }
        #expect(late.withLock { $0 } == ["e0", "e2"])
        await log.shutDown()
    }

    @Test func `a processor whose handler is to have a transaction of another store does not begin`() async throws {
        let other = try await EventLog.open(InMemoryEventStore(), instance: "p1", transport: nil)
        try await other.persist(event("e0"))
        let worker = other.processor("worker", handleInTransaction: { _, _ in })
        await #expect {
            try await worker.run()
        } throws: { error in
            if case TidemarkError.unsuitableTransaction = error { true } else { false }
        }
        #expect(try await other.consumers().isEmpty)
        await other.shutDown()
        await log.shutDown()
    }

    @Test func `external events need a handler of their own`() async throws {
        try await log.withNextID { id in
            try await store.write { [log] db in try log.commit([id], in: db) }
        }
        let without = log.processor("worker", configuration: configuration) { _ in }
        await #expect(throws: TidemarkError.externalEventUnhandled(stream: "events", consumer: "worker", id: 1)) {
            try await without.run()
        }
        #expect(try await position() == 0)
        let handled = Mutex<[StreamID]>([])
        let with = log.processor("worker", configuration: configuration) { _ in
        } handleExternal: { event in
            handled.withLock { $0.append(event.streamID) }
        }
        try await with.running { try await eventually { try await position() == 1 } }
        #expect(handled.withLock { $0 } == [1])
        await log.shutDown()
    }
}

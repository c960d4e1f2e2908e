import GRDB
import Logging
import Synchronization
import TestSupport
import Testing
import Tidemark
import TidemarkTesting

@testable import TidemarkSQLite

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
                try db.execute(
                    sql: """
                        INSERT INTO balances (account, amount) VALUES ('all', 1)
                        ON CONFLICT (account) DO UPDATE SET amount = amount + 1
                        """)
                guard
                    isRaised.withLock({ isRaised in
                        defer { isRaised = true }
                        return !isRaised
                    })
                else { return }
                // As another process would have done just before: the passage finds it.
                try db.execute(sql: "UPDATE tidemark_partitions SET claim = claim + 1")
            })
        try await worker.running { try await eventually { try await position() == 1 } }
        let amounts = try await store.read { try Int.fetchAll($0, sql: "SELECT amount FROM balances") }
        #expect(amounts == [1])
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

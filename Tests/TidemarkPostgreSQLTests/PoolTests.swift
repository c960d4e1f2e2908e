import Foundation
import Logging
import Synchronization
import TestSupport
import Testing
import Tidemark

@testable import TidemarkPostgreSQL

/// What becomes of calls that are stopped, that have to wait, and whose connection is gone.
@Suite(.enabled(if: TestCluster.isAvailable), .timeLimit(.minutes(2))) struct PoolTests {
    private static let insert = "INSERT INTO letters VALUES (1) RETURNING id"

    /// Runs `body` with a pool whose bounds are changed, in a database with a table.
    private func withTable(
        _ change: (inout PostgresConfiguration) -> Void = { _ in },
        _ body: (PostgresPool, PostgresConfiguration) async throws -> Void
    ) async throws {
        let configuration = try await TestCluster.newDatabase()
        try await connecting(configuration) { _ = try $0.query("CREATE TABLE letters (id bigint)") }
        var bounded = configuration
        change(&bounded)
        let pool = PostgresPool(bounded)
        let result: Result<Void, any Error>
        do { result = .success(try await body(pool, configuration)) } catch { result = .failure(error) }
        await pool.close()
        try result.get()
    }

    private func locked(_ configuration: PostgresConfiguration) async throws -> OpenTransaction {
        try await OpenTransaction(configuration) { _ = try $0.query("LOCK TABLE letters") }
    }

    /// How many backends wait in this way.
    private func waiting(_ configuration: PostgresConfiguration, for kind: String = "relation") async throws -> Int64 {
        try await connecting(configuration) { session in
            try session.query(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = $1",
                [.text(kind)]
            ).int64(0, 0)
        }
    }

    private func count(_ configuration: PostgresConfiguration) async throws -> Int64 {
        try await connecting(configuration) { try $0.query("SELECT count(*) FROM letters").int64(0, 0) }
    }

    //  holder              call
    //  has the lock
    //                      waits for it on the server
    //                      is cancelled, and the server stops it
    //  lets go of it
    @Test func `a task that is cancelled has its query stopped on the server, and nothing was done`() async throws {
        try await withTable { pool, configuration in
            let holder = try await locked(configuration)
            let call = Task { try await pool.query(Self.insert) { try $0.int64(0, 0) } }
            try await eventually("it waits") { try await waiting(configuration) == 1 }
            call.cancel()
            await #expect(throws: CancellationError.self) { try await call.value }
            #expect(try await waiting(configuration) == 0)
            try await holder.rollBack()
            #expect(try await count(configuration) == 0)
            // The connection serves the next one, which is not stopped by what stopped this.
            #expect(try await pool.query(Self.insert) { try $0.int64(0, 0) } == 1)
        }
    }

    //  call                            test
    //  the server has committed
    //                                  sees the row, and cancels
    //  hears the answer
    @Test func `a task that is cancelled when the server was quicker gets its answer`() async throws {
        try await withTable { pool, configuration in
            let goOn = DispatchSemaphore(value: 0)
            let call = Task {
                try await pool.perform { session in
                    let id = try session.query(Self.insert).int64(0, 0)
                    // On the connection's own thread, which nobody else needs.
                    goOn.wait()
                    return id
                }
            }
            try await eventually("it is there") { try await count(configuration) == 1 }
            call.cancel()
            goOn.signal()
            #expect(try await call.value == 1)
        }
    }

    //  persist                         test
    //  the server has committed,
    //  and waits for a standby
    //                                  cancels: the wait is over, and the event is there
    @Test func `a group that is cancelled while its commit waits for a standby is unknown, and settled as committed`()
        async throws
    {
        let cluster = try await TestCluster(["fsync=off"])
        let configuration = try await cluster.newDatabase("waits")
        func standbys(_ names: String) async throws {
            try await connecting(configuration) { session in
                _ = try session.query("ALTER SYSTEM SET synchronous_standby_names = '\(names)'")
                _ = try session.query("SELECT pg_reload_conf()")
            }
            try await eventually("it counts") {
                try await connecting(configuration) { session in
                    try session.query("SHOW synchronous_standby_names").text(0, 0) == names
                }
            }
        }
        try await withStore(at: configuration) { store in
            let joined = try await store.join(stream, as: "p1", nonce: 1)
            let group = EventGroup(events("a"), in: stream, by: joined.writer, fence: joined.fence)
            try await standbys("nobody")
            let call = Task { try await store.persist(group) }
            try await eventually("it waits for a standby") { try await waiting(configuration, for: "SyncRep") == 1 }
            call.cancel()
            let error = await #expect(throws: TidemarkError.self) { try await call.value }
            guard case .outcomeUnknown(_, ["a"], _) = error else {
                Issue.record("\(String(describing: error))")
                return
            }
            try await standbys("")
            #expect(try await store.settle([group]).groups == [PersistedGroup(outcomes: [.persisted(1)])])
        }
    }

    @Test func `a call over its limit is stopped, and nothing was done`() async throws {
        try await withTable {
            $0.callLimit = .milliseconds(200)
        } _: { pool, configuration in
            let holder = try await locked(configuration)
            await #expect(throws: PostgresError.timedOut(server: pool.server, limit: .milliseconds(200))) {
                try await pool.query(Self.insert) { $0.count }
            }
            try await holder.rollBack()
            #expect(try await count(configuration) == 0)
        }
    }

    @Test func `calls that wait for the server block none of Swift's threads`() async throws {
        let calls = ProcessInfo.processInfo.activeProcessorCount * 2 + 2
        try await withTable {
            $0.connections = calls
        } _: { pool, configuration in
            let holder = try await locked(configuration)
            let tasks = (0..<calls).map { _ in Task { try await pool.query(Self.insert) { try $0.int64(0, 0) } } }
            // Nobody here could ask, or end what they wait for, if they did.
            try await eventually("all of them wait") { try await waiting(configuration) == Int64(calls) }
            try await holder.rollBack()
            for task in tasks { #expect(try await task.value == 1) }
        }
    }

    @Test func `no more connections are made than the bound, and no more calls wait for one`() async throws {
        var configuration = try await TestCluster.newDatabase()
        try await connecting(configuration) { _ = try $0.query("CREATE TABLE letters (id bigint)") }
        configuration.waitingLimit = 3
        let bounded = try PostgresAddress(parsing: configuration.address.text + " application_name=bounded")
        let connections = PostgresConnections(
            bounded, configuration, limit: 2, time: .continuous, logger: Logger(label: "test"))
        let ended = Mutex<[String]>([])
        func submit() {
            connections.submit { session in
                let outcome = Result { try session.query(Self.insert).count }
                ended.withLock { $0.append("\(outcome)") }
            } fail: { error in
                ended.withLock { $0.append("\(error)") }
            }
        }
        let holder = try await locked(configuration)
        for _ in 0..<2 { submit() }
        try await eventually("both connections are taken") { try await waiting(configuration) == 2 }
        for _ in 0..<3 { submit() }
        #expect(ended.withLock { $0.isEmpty })
        submit()
        let tooMany = PostgresError.tooManyWaiting(server: connections.server, limit: 3)
        #expect(ended.withLock { $0 } == ["\(tooMany)"])
        let made = try await connecting(configuration) { session in
            try session.query("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'bounded'").int64(0, 0)
        }
        #expect(made == 2)
        try await holder.rollBack()
        try await eventually("the others had their turn") { ended.withLock { $0.count } == 6 }
        #expect(try await count(configuration) == 5)
        connections.beginClosing()
        await connections.waitUntilEnded()
    }

    @Test func `a call that finds no connection within the limit says so`() async throws {
        try await withTable {
            ($0.connections, $0.waitLimit) = (1, .milliseconds(100))
        } _: { pool, configuration in
            let holder = try await locked(configuration)
            let first = Task { try await pool.query(Self.insert) { try $0.int64(0, 0) } }
            try await eventually("the connection is taken") { try await waiting(configuration) == 1 }
            let none = PostgresError.noConnection(server: pool.server, limit: .milliseconds(100), because: nil)
            await #expect(throws: none) { try await pool.query(Self.insert) { $0.count } }
            #expect(!none.mayHaveHappened)
            try await holder.rollBack()
            #expect(try await first.value == 1)
        }
    }

    //  connection                      server
    //  is idle
    //                                  says that it ends it, and has ended it as far as it counts
    //  the next call is not sent on it, because nobody would know what became of that
    @Test func `a connection that the server ended is made anew for the next call`() async throws {
        try await withTable {
            $0.connections = 1
        } _: { pool, configuration in
            for _ in 0..<5 {
                let process = try await pool.query("SELECT pg_backend_pid()") { try $0.int64(0, 0) }
                try await endBackends("pid = \(process)", by: configuration)
                #expect(try await pool.query("SELECT pg_backend_pid()") { try $0.int64(0, 0) } != process)
            }
        }
    }
}

/// When a connection is made again.
@Suite struct ReconnectingTests {
    private static let gone = PostgresError.cannotConnect(server: "s", sqlState: nil, problem: "nobody listens")
    private static let refused = PostgresError.cannotConnect(server: "s", sqlState: "28P01", problem: "wrong password")

    private func reconnecting() throws -> Reconnecting {
        var configuration = try PostgresConfiguration("host=s")
        (configuration.shortestDelay, configuration.longestDelay) = (.milliseconds(20), .milliseconds(500))
        configuration.longestRefusalDelay = .seconds(5)
        return Reconnecting(configuration)
    }

    @Test func `the delays grow up to the longest, and begin anew after a connection that has lasted`() throws {
        var value = try reconnecting()
        let hadFailed = value.connected()
        #expect(!hadFailed)
        func delays(_ count: Int) -> [Duration] {
            (0..<count).map { _ in
                _ = value.failed(Self.gone, at: .seconds(9), random: 0)
                return value.nextAttempt - .seconds(9)
            }
        }
        #expect(delays(7) == [10, 20, 40, 80, 160, 250, 250].map { .milliseconds($0) })
        let hasFailed = value.connected()
        #expect(hasFailed)
        // It was lost at once: a server that drops what it takes is not called in a tight loop.
        value.lost(afterLasting: .milliseconds(5), at: .seconds(20), random: 0)
        #expect(value.nextAttempt == .seconds(20) + .milliseconds(250))
        _ = value.connected()
        value.lost(afterLasting: .seconds(1), at: .seconds(30), random: 0)
        #expect(delays(2) == [.milliseconds(10), .milliseconds(20)])
    }

    @Test func `calls wait for a server that was there, and fail at once where somebody has to change something`()
        throws
    {
        var value = try reconnecting()
        func fail(_ error: PostgresError) -> [Bool] {
            let failed = value.failed(error, at: .zero, random: 0)
            return [failed.failsCalls, failed.isNew]
        }
        // There never was one.
        #expect(fail(Self.gone) == [true, true])
        #expect(value.refusal(at: .milliseconds(9)) == Self.gone)
        #expect(value.refusal(at: .milliseconds(10)) == nil)
        _ = value.connected()
        #expect(fail(Self.gone) == [false, true])
        #expect(fail(Self.gone) == [false, false])
        #expect(value.refusal(at: .zero) == nil)
        #expect(fail(Self.refused) == [true, true])
        #expect(value.refusal(at: .zero) == Self.refused)
        // And it is asked less often.
        #expect(value.nextAttempt == .milliseconds(250))
        _ = fail(Self.refused)
        #expect(value.nextAttempt == .milliseconds(500))
    }
}

import Synchronization
import TestSupport
import Testing
import Tidemark
import TidemarkTesting

@testable import TidemarkPostgreSQL

/// Events that are passed in transactions of a client of the handler's own.
@Suite(.timeLimit(.minutes(3)), .enabled(if: TestCluster.isAvailable)) struct PassingStatementTests {
    private var configuration: ProcessorConfiguration {
        var configuration = ProcessorConfiguration(
            partitions: 2, maximumAttempts: 3, shortestDelay: .milliseconds(1), longestDelay: .milliseconds(1))
        configuration.silenceTimeout = .seconds(1)
        configuration.checkpointInterval = .milliseconds(1)
        return configuration
    }

    private func withLog(_ body: (EventLog, PostgreSQLEventStore, PostgresConfiguration) async throws -> Void)
        async throws
    {
        try await withStore { store, configuration in
            try await connecting(configuration) { _ = try $0.query("CREATE TABLE applied (event text, worker text)") }
            let log = try await EventLog.open(store, stream: stream, instance: "p1")
            try await body(log, store, configuration)
            await log.shutDown()
        }
    }

    private func applied(_ configuration: PostgresConfiguration) async throws -> [String] {
        try await connecting(configuration) { session in
            let rows = try session.query("SELECT event FROM applied ORDER BY event")
            return try (0..<rows.count).map { try rows.text($0, 0) }
        }
    }

    private func position(_ log: EventLog) async throws -> StreamID? {
        try await log.consumers().first { $0.name == "worker" }?.position
    }

    /// How a handler's transaction ends.
    private enum End: CaseIterable {
        case commits
        /// It fails after it has written.
        case throwsBefore
        /// It commits, and does not hear that it has.
        case losesAnswer
        /// It forgets to pass the event.
        case forgets
    }

    private static func apply(
        _ event: PersistedEvent, _ statement: PassingStatement, _ configuration: PostgresConfiguration, _ end: End
    ) async throws {
        let id = event.event.id
        try await connecting(configuration) { session in
            try session.transaction { session in
                try session.query("INSERT INTO applied VALUES ($1)", [.text(id)])
                if end == .throwsBefore || end == .forgets { throw CancellationError() }
                try session.query(statement.sql, statement.arguments.map { .text($0) })
            }
        }
        if end == .losesAnswer { throw CancellationError() }
    }

    @Test func `what a handler commits with its event's being passed is there once, however its transaction ends`()
        async throws
    {
        try await withLog { log, store, configuration in
            let ids = (0..<12).map { "e\($0)" }
            for id in ids { try await log.persist(Event(id: id, type: "t", key: id)) }
            let calls = Mutex<[String: Int]>([:])
            let worker = log.processor("worker", configuration: self.configuration) { event, statement in
                let call = calls.withLock { calls in
                    calls[event.event.id, default: 0] += 1
                    return calls[event.event.id] ?? 0
                }
                let number = Int(event.event.id.dropFirst()) ?? 0
                let end = call == 1 ? End.allCases[number % End.allCases.count] : .commits
                do {
                    try await Self.apply(event, statement, configuration, end)
                } catch  where end == .forgets {
                    // Returns as if it had.
                }
            }
            try await worker.running { try await eventually("all are passed") { try await position(log) == 12 } }
            #expect(try await applied(configuration) == ids.sorted())
            // Whose COMMIT was done was not called again.
            let counts = calls.withLock { $0 }
            for (number, id) in ids.enumerated() {
                #expect(counts[id] == (number % 4 == 0 || number % 4 == 2 ? 1 : 2), "\(id): \(counts[id] ?? 0)")
            }
            let audit = try await store.audit(stream, consumer: "worker", limit: 10)
            #expect(audit.isComplete && audit.delivered == 12)
            #expect(try await log.parkedEvents(of: "worker").isEmpty)
        }
    }

    //  handler                          another process
    //                                   takes the partition over
    //  its transaction is refused
    @Test func `a transaction under a claim that is over, or of an event that was passed, is refused`() async throws {
        try await withLog { log, _, configuration in
            try await log.persist(events("a", "b"))
            let states = Mutex<[String?]>([])
            let first = Mutex<PassingStatement?>(nil)
            var one = self.configuration
            one.partitions = 1
            let worker = log.processor("worker", configuration: one) { event, statement in
                if event.event.id == "a" {
                    first.withLock { $0 = statement }
                } else if states.withLock({ $0.isEmpty }) {
                    let again = first.withLock { $0 } ?? statement
                    let repeated = await #expect(throws: PostgresError.self) {
                        try await Self.apply(event, again, configuration, .commits)
                    }
                    try await connecting(configuration) {
                        _ = try $0.query("UPDATE tidemark.partitions SET claim = claim + 1")
                    }
                    // In a task of its own: whoever has lost a partition has its handlers cancelled once it has noticed.
                    let late = await Task {
                        await #expect(throws: PostgresError.self) {
                            try await Self.apply(event, statement, configuration, .commits)
                        }
                    }.value
                    states.withLock { $0 = [repeated?.sqlState, late?.sqlState] }
                    return
                }
                try await Self.apply(event, statement, configuration, .commits)
            }
            try await worker.running { try await eventually("all are passed") { try await position(log) == 2 } }
            #expect(states.withLock { $0 } == ["TM022", "TM010"])
            #expect(try await applied(configuration) == ["a", "b"])
        }
    }

    @Test func `a processor whose handler is to commit on another store does not begin`() async throws {
        let other = try await EventLog.open(InMemoryEventStore(), instance: "p1", transport: nil)
        try await other.persist(events("a"))
        let worker = other.processor("worker", handleInOwnTransaction: { _, _ in })
        await #expect {
            try await worker.run()
        } throws: { error in
            if case TidemarkError.unsuitableTransaction = error { true } else { false }
        }
        #expect(try await other.consumers().isEmpty)
        await other.shutDown()
    }

    @Test func `what is parked and handled late is removed in the handler's transaction`() async throws {
        try await withLog { log, _, configuration in
            try await log.persist(events("a", "b"))
            let isMended = Mutex(false)
            let worker = log.processor("worker", configuration: self.configuration) { event, statement in
                let isMended = isMended.withLock { $0 }
                if event.event.id == "a", !isMended { throw CancellationError() }
                #expect(HandlingContext.current?.isLate == (event.event.id == "a"))
                try await Self.apply(event, statement, configuration, .commits)
            }
            try await worker.running {
                try await eventually("all are passed") { try await position(log) == 2 }
                #expect(try await log.parkedEvents(of: "worker").map(\.streamID) == [1])
                #expect(try await applied(configuration) == ["b"])
                isMended.withLock { $0 = true }
                try await log.retryParked(of: "worker")
                try await eventually("nothing is parked") {
                    try await log.parkedEvents(of: "worker").isEmpty
                }
            }
            #expect(try await applied(configuration) == ["a", "b"])
        }
    }
}

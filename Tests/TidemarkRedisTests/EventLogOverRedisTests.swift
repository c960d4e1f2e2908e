import Logging
import Synchronization
import TestSupport
import Testing
import Tidemark
import TidemarkSQLite
import TidemarkTesting

@testable import TidemarkRedis

/// Writers and readers of one database that hear each other over Redis alone, as on several machines.
@Suite(.timeLimit(.minutes(1))) struct EventLogOverRedisTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// A log with a store and a transport of its own, as in a process of its own, and the task that runs it.
    private struct Running {
        let log: EventLog
        let transport: RedisTransport
        let service: Task<Void, any Error>

        func stop() async throws {
            service.cancel()
            try await service.value
        }
    }

    private func open(_ instance: InstanceName?, at server: RedisServerProcess) async throws -> Running {
        let transport = try RedisTransport.quiet("redis://127.0.0.1:\(server.port)/c")
        let log = try await EventLog.open(
            SQLiteEventStore.open(path: folder.database), instance: instance, transport: transport,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        return Running(log: log, transport: transport, service: Task { try await log.run() })
    }

    /// The ids of events in the order in which a reader got them, and when it did.
    private final class Arrivals: Sendable {
        private let all = Mutex<[(id: String, at: ContinuousClock.Instant)]>([])

        var ids: [String] { all.withLock { $0.map(\.id) } }

        func time(of id: String) -> ContinuousClock.Instant? { all.withLock { $0.first { $0.id == id }?.at } }

        func read(_ log: EventLog) -> Task<Void, any Error> {
            Task {
                for try await batch in log.events() {
                    let now = ContinuousClock.now
                    all.withLock { $0 += batch.events.map { ($0.event.id, now) } }
                }
            }
        }

        func wait(for id: String) async throws -> ContinuousClock.Instant {
            while true {
                if let time = time(of: id) { return time }
                try await Task.sleep(for: .milliseconds(1))
            }
        }
    }

    private final class Flag: Sendable {
        private let state = Atomic(false)
        var isSet: Bool { state.load(ordering: .acquiring) }
        func set() { state.store(true, ordering: .releasing) }
    }

    private func connected(_ logs: [Running]) async throws {
        for log in logs {
            while log.transport.failure != nil { try await Task.sleep(for: .milliseconds(1)) }
        }
    }

    @Test func readersGoOnThroughTheDatabaseWhileTheServerIsDownAndWritersDoNotWait() async throws {
        let server = try await RedisServerProcess()
        let writer = try await open("p1", at: server)
        let idle = try await open("p2", at: server)
        let reader = try await open(nil, at: server)
        let arrivals = Arrivals()
        let reading = arrivals.read(reader.log)
        try await writer.log.persist(Event(id: "up", type: "noted"))
        _ = try await arrivals.wait(for: "up")

        server.kill()
        while writer.transport.failure == nil { try await Task.sleep(for: .milliseconds(1)) }
        for number in 0..<5 {
            let start = ContinuousClock.now
            let id = "down-\(number)"
            // An ID of its own, so that there is a gap to hear of.
            try await writer.log.withNextID { try await writer.log.persist(Event(id: id, type: "noted"), as: $0) }
            let persisted = ContinuousClock.now
            // Generous for a machine that does other things: a wait for the server would take seconds.
            #expect(persisted - start < .seconds(1))
            let arrived = try await arrivals.wait(for: id)
            #expect(arrived - persisted < .milliseconds(1500))
        }
        reading.cancel()
        for log in [writer, idle, reader] { try await log.stop() }
    }

    @Test func afterARestartWhilePositionsMoveTheMinimumMovesAgainAndNothingIsMissing() async throws {
        let server = try await RedisServerProcess()
        let writers = [try await open("p1", at: server), try await open("p2", at: server)]
        let reader = try await open(nil, at: server)
        let arrivals = Arrivals()
        let reading = arrivals.read(reader.log)
        let isOver = Flag()
        let writing = Task {
            try await withThrowingTaskGroup(of: [String].self) { group in
                for (index, writer) in writers.enumerated() {
                    group.addTask {
                        var ids: [String] = []
                        while !isOver.isSet {
                            let id = "\(index)-\(ids.count)"
                            try await writer.log.withNextID {
                                try await writer.log.persist(Event(id: id, type: "noted"), as: $0)
                            }
                            ids.append(id)
                            try await Task.sleep(for: .milliseconds(5))
                        }
                        return ids
                    }
                }
                return try await group.reduce(into: []) { $0 += $1 }
            }
        }
        for round in 0..<2 {
            while arrivals.ids.count < 100 * (round + 1) { try await Task.sleep(for: .milliseconds(2)) }
            server.kill()
            while reader.transport.failure == nil { try await Task.sleep(for: .milliseconds(1)) }
            try await server.start()
            let restarted = ContinuousClock.now
            try await connected(writers + [reader])
            // Everyone is back within the longest delay, and a little for a busy machine.
            #expect(ContinuousClock.now - restarted < .seconds(1))
            let minimum = reader.log.generator.minimumPersistedPosition
            while reader.log.generator.minimumPersistedPosition == minimum {
                try await Task.sleep(for: .milliseconds(1))
            }
            #expect(ContinuousClock.now - restarted < .seconds(1))
        }
        isOver.set()
        let written = try await writing.value
        while arrivals.ids.count < written.count { try await Task.sleep(for: .milliseconds(2)) }
        #expect(Set(arrivals.ids) == Set(written) && arrivals.ids.count == written.count)
        reading.cancel()
        for log in writers + [reader] { try await log.stop() }
    }
}

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

    /// The ids of events in the order in which a reader got them.
    private final class Arrivals: Sendable {
        private let all = Mutex<[String]>([])

        var ids: [String] { all.withLock { $0 } }

        func read(_ log: EventLog) -> Task<Void, any Error> {
            Task {
                for try await batch in log.events() {
                    all.withLock { $0 += batch.events.map(\.event.id) }
                }
            }
        }

        func wait(for id: String) async throws {
            try await eventually("\(id) arrives") { ids.contains(id) }
        }
    }

    private final class Flag: Sendable {
        private let state = Atomic(false)
        var isSet: Bool { state.load(ordering: .acquiring) }
        func set() { state.store(true, ordering: .releasing) }
    }

    private func connected(_ logs: [Running]) async throws {
        try await eventually("everyone is connected") { logs.allSatisfy { $0.transport.failure == nil } }
    }

    @Test func `readers go on through the database while the server is down and writers do not wait`() async throws {
        let server = try await RedisServerProcess()
        let writer = try await open("p1", at: server)
        let idle = try await open("p2", at: server)
        let reader = try await open(nil, at: server)
        let arrivals = Arrivals()
        let reading = arrivals.read(reader.log)
        try await writer.log.persist(Event(id: "up", type: "noted"))
        try await arrivals.wait(for: "up")

        server.kill()
        try await eventually("the writer has noticed") { writer.transport.failure != nil }
        for number in 0..<5 {
            let id = "down-\(number)"
            // An ID of its own, so that there is a gap to hear of. The server does not come back: who waited for it would
            // wait for ever.
            try await writer.log.withNextID { try await writer.log.persist(Event(id: id, type: "noted"), as: $0) }
            try await arrivals.wait(for: id)
        }
        reading.cancel()
        for log in [writer, idle, reader] { try await log.stop() }
    }

    @Test func `after a restart while positions move the minimum moves again and nothing is missing`() async throws {
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
                            // Two hundred a second: many before, during and after the absence, and few enough to check.
                            try await Task.sleep(for: .milliseconds(5))
                        }
                        return ids
                    }
                }
                return try await group.reduce(into: []) { $0 += $1 }
            }
        }
        for round in 0..<2 {
            try await eventually("more events") { arrivals.ids.count >= 100 * (round + 1) }
            server.kill()
            try await eventually("the reader has noticed") { reader.transport.failure != nil }
            try await server.start()
            try await connected(writers + [reader])
            let minimum = reader.log.generator.minimumPersistedPosition
            try await eventually("the minimum moves") { reader.log.generator.minimumPersistedPosition > minimum }
        }
        isOver.set()
        let written = try await writing.value
        try await eventually("all has arrived") { arrivals.ids.count >= written.count }
        #expect(Set(arrivals.ids) == Set(written) && arrivals.ids.count == written.count)
        reading.cancel()
        for log in writers + [reader] { try await log.stop() }
    }
}

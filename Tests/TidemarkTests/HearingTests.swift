import Logging
import Synchronization
import TestSupport
import Testing
import TidemarkTesting

@testable import Tidemark

/// Logs that hear each other, and what they ask the database for.
@Suite(.timeLimit(.minutes(1))) struct HearingTests {
    let store = InMemoryEventStore()
    let transport = LocalTransport()
    let clock = ManualClock()

    func open(_ name: InstanceName?) async throws -> EventLog {
        try await EventLog.open(
            store, instance: name, transport: transport, time: TimeSource(clock),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    func event(_ id: String) -> Event { Event(id: id, type: "test", payload: []) }

    @Test func `a connection has caught up when the database was asked`() async throws {
        let log = try await open("p1")
        #expect(transport.caughtUpCount == 0)
        await clock.pass { transport.caughtUpCount == 1 }
        transport.reconnect()
        #expect(transport.caughtUpCount == 1)
        await clock.pass { transport.caughtUpCount == 2 }
        await log.shutDown()
    }

    @Test func `a database that cannot be asked leaves a connection behind`() async throws {
        let log = try await open("p1")
        await clock.pass { transport.caughtUpCount == 1 }
        struct Gone: Error {}
        let asked = Gate()
        asked.open()
        store.setHook { operation, moment in
            guard operation == .reconciliation, moment == .before else { return }
            await asked.pass()
            throw Gone()
        }
        transport.reconnect()
        await clock.pass { log.generator.state.withLock { $0.machine.hasFailedToReconcile } }
        #expect(transport.caughtUpCount == 1)
        store.setHook(nil)
        try await log.reconcile()
        #expect(transport.caughtUpCount == 2)
        await log.shutDown()
    }

    @Test func `a position that tells of missed rows has the database asked soon`() async throws {
        let reader = try await open(nil)
        let one = try await open("p1")
        let two = try await open("p2")
        await clock.pass { transport.caughtUpCount == 3 }
        try await reader.reconcile()
        // Nothing but p1's position arrives: p2 is silent, and the row is lost.
        transport.setFilter { _ in [] }
        try await one.persist(event("a"))
        #expect(reader.generator.minimumPersistedPosition == 0)
        transport.setFilter(nil)
        let writer = try #require(one.writer)
        let nonce = one.generator.state.withLock { $0.machine.nonce(of: writer) }
        transport.inject(
            .position(ReplicationPosition(stream: "events", writer: writer, nonce: nonce, previous: 1, new: 1)))
        await clock.pass { reader.generator.minimumPersistedPosition == 1 }
        for log in [reader, one, two] { await log.shutDown() }
    }

    @Test func `a writer that joins is heard from its first position on`() async throws {
        let reader = try await open(nil)
        await clock.pass { transport.caughtUpCount == 1 }
        let writer = try await open("p1")
        await clock.pass {
            reader.generator.positions["p1"] != nil && !reader.generator.state.withLock { $0.machine.hasQuestions }
        }
        try await writer.persist(event("a"))
        #expect(reader.generator.minimumPersistedPosition == 1)
        for log in [reader, writer] { await log.shutDown() }
    }
}

import Logging
import TestSupport
import Testing
import TidemarkTesting

@testable import Tidemark

/// A position that says that there are no rows below it comes after those rows.
@Suite(.timeLimit(.minutes(1))) struct AnnouncedRowsTests {
    let store = InMemoryEventStore()
    let transport = LocalTransport()
    let clock = ManualClock()

    func open(_ name: InstanceName) async throws -> EventLog {
        try await EventLog.open(
            store, instance: name, transport: transport, time: TimeSource(clock),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    /// What was sent in the name of the writer that denies a row which was sent later.
    func denied(by writer: Writer) -> [ReplicationPosition] {
        var denied: [ReplicationPosition] = []
        for (index, command) in transport.sent.enumerated() {
            guard case .position(let position) = command, position.writer == writer else { continue }
            let rowsLater = transport.sent[index...].contains { later in
                guard case .rdata(let row) = later, row.writer == writer, case .id(let id) = row.token else {
                    return false
                }
                return id > position.previous && id <= position.new
            }
            if rowsLater { denied.append(position) }
        }
        return denied
    }

    enum Way: CaseIterable { case persister, scope, scopeThatThrows }

    /// Another writer holds the ID below, so that the position of this one may hold readers back and is told at once.
    @Test(arguments: Way.allCases) func `no position denies a row that is told later`(way: Way) async throws {
        let one = try await open("p1")
        let two = try await open("p2")
        for log in [one, two] { try await log.reconcile() }
        let gate = Gate()
        let scope = Task { try await two.withNextID { _ in await gate.pass() } }
        await gate.arrivals()
        // An announcement of the position is due.
        clock.advance(by: .milliseconds(900))
        let event = Event(id: "a", type: "test", payload: [])
        switch way {
        case .persister: try await one.persist(event)
        case .scope: try await one.withNextID { id in _ = try await one.persist(event, as: id) }
        case .scopeThatThrows:
            struct Refused: Error {}
            await #expect(throws: Refused.self) { try await one.withNextID { _ in throw Refused() } }
        }
        let writer = try #require(one.writer)
        // The caller of the persister is told first.
        while !transport.sent.contains(where: { if case .rdata(let row) = $0 { row.writer == writer } else { false } })
        {
            await Task.yield()
        }
        #expect(denied(by: writer) == [])
        gate.open()
        try await scope.value
        for log in [one, two] { await log.shutDown() }
    }
}

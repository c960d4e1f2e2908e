import Logging
import Synchronization
import TestSupport
import Testing
import TidemarkTesting

@testable import Tidemark

/// Replication makes a log fast and nothing else: what is wrong with it ends nobody.
@Suite(.timeLimit(.minutes(1))) struct ConnectingTests {
    let store = InMemoryEventStore()
    let transport = LocalTransport()
    let clock = ManualClock()
    let lines = LogLines()

    /// A transport that cannot connect so many times.
    final class Refusing: ReplicationTransport {
        struct Refused: Error {}
        let refusals: Mutex<Int>
        let attempts = Mutex(0)
        let transport: LocalTransport
        let listensFirst: Duration
        let belongsToDatabase: Bool

        init(
            _ transport: LocalTransport, refusals: Int, listensFirst: Duration = .zero, belongsToDatabase: Bool = false
        ) {
            self.transport = transport
            self.refusals = Mutex(refusals)
            self.listensFirst = listensFirst
            self.belongsToDatabase = belongsToDatabase
        }

        func connect(
            as name: InstanceName, receive: @escaping @Sendable (ReplicationEvent) -> Void
        ) async throws -> any ReplicationConnection {
            attempts.withLock { $0 += 1 }
            let isRefused = refusals.withLock { refusals in
                refusals -= 1
                return refusals >= 0
            }
            if isRefused { throw Refused() }
            return try await transport.connect(as: name, receive: receive)
        }
    }

    func open(
        _ name: InstanceName?, _ transport: any ReplicationTransport,
        _ change: (inout EventLogConfiguration) -> Void = { _ in }
    ) async throws -> EventLog {
        var configuration = EventLogConfiguration()
        change(&configuration)
        return try await EventLog.open(
            store, instance: name, transport: transport, configuration: configuration, time: TimeSource(clock),
            logger: lines.logger)
    }

    func event(_ id: String) -> Event { Event(id: id, type: "test", payload: []) }

    @Test func `a log goes on without replication and connects later`() async throws {
        let refusing = Refusing(transport, refusals: 3)
        let log = try await open("p1", refusing)
        #expect(try await log.persist(event("a")) == 1)
        #expect(transport.sent.isEmpty)
        await clock.pass(inStepsOf: .milliseconds(100)) { log.generator.state.withLock { $0.connection != nil } }
        await clock.pass(inStepsOf: .milliseconds(100)) { log.announced.positions > 0 }
        try await log.persist(event("b"))
        #expect(transport.sent.contains { if case .rdata(let row) = $0 { row.token == .id(2) } else { false } })
        #expect(refusing.attempts.withLock { $0 } == 4)
        #expect(lines.lines("replication has started").count == 1)
        let said = lines.lines(
            "replication cannot start: this log goes on through the database alone, which is slower; trying again")
        #expect(said.count == 1)
        await log.shutDown()
    }

    @Test func `a log that was shut down does not connect`() async throws {
        let refusing = Refusing(transport, refusals: 1)
        let log = try await open("p1", refusing)
        await clock.waitForSleepers(1)
        await log.shutDown()
        clock.advance(by: .seconds(100))
        for _ in 0..<100 { await Task.yield() }
        #expect(refusing.attempts.withLock { $0 } == 1)
    }

    /// Homeservers' writers have no epochs.
    @Test(arguments: ["events", "backfill"] as [StreamName])
    func `a log falls silent where other software announces streams`(stream: StreamName) async throws {
        let log = try await open("p1", transport)
        let reader = try await open(nil, transport)
        try await reader.reconcile()
        transport.inject(
            .position(
                ReplicationPosition(
                    stream: stream, writer: Writer("master", epoch: 0), previous: 3582, new: 3582)))
        let before = transport.sent.count
        try await log.persist(event("a"))
        log.generator.changeNow { $0.isAsked(now: $1) }
        clock.advance(by: .seconds(10))
        #expect(transport.sent.count == before)
        // It goes on through the database.
        try await reader.reconcile()
        #expect(reader.generator.minimumPersistedPosition == 1)
        #expect(lines.lines.filter { $0.level == .warning }.count == 2)
        for log in [log, reader] { await log.shutDown() }
    }

    private func sayAsOtherSoftware() {
        transport.inject(
            .position(
                ReplicationPosition(stream: "caches", writer: Writer("master", epoch: 0), previous: 9, new: 9)))
    }

    private var positionsSent: Int {
        transport.sent.count { if case .position = $0 { true } else { false } }
    }

    private static let fallsSilent = """
        other software announces streams on this channel: this log does not speak there, and what it writes is read \
        through the database, which is slower; give it a channel of its own
        """
    private static let speaksAgain = "no other software is heard on this channel any more: this log speaks there again"

    //  other software   a line          a line
    //  log              is silent ......|............. asks who is there, speaks
    @Test func `a log speaks again after a quiet time, and says so once`() async throws {
        let log = try await open("p1", transport) { $0.quietTimeBesideOthers = .seconds(10) }
        sayAsOtherSoftware()
        let before = transport.sent.count
        try await log.persist(event("a"))
        clock.advance(by: .seconds(6))
        sayAsOtherSoftware()
        await clock.waitForSleepers(1)
        clock.advance(by: .seconds(6))
        // The timer of the first line has passed, and another one is there for the second.
        await clock.waitForSleepers(1)
        log.generator.changeNow { $0.isAsked(now: $1) }
        #expect(transport.sent.count == before)
        clock.advance(by: .seconds(4))
        await clock.pass(inStepsOf: .milliseconds(100)) { transport.sent.count > before }
        #expect(transport.sent[before] == .replicate)
        await clock.pass(inStepsOf: .milliseconds(100)) { transport.sent.count > before + 1 }
        // The row that nobody was told of has to be fetched: no position says that there is none.
        guard case .position(let position) = transport.sent[before + 1] else {
            Issue.record("it said \(transport.sent[before + 1])")
            return
        }
        #expect(position.new == 1 && position.previous >= position.new)
        try await log.persist(event("b"))
        #expect(transport.sent.contains { if case .rdata(let row) = $0 { row.token == .id(2) } else { false } })
        #expect(lines.lines(Self.fallsSilent).count == 1 && lines.lines(Self.speaksAgain).count == 1)
        sayAsOtherSoftware()
        #expect(lines.lines(Self.fallsSilent).count == 2)
        await log.shutDown()
    }

    @Test func `other software that answers keeps a log silent, and that is no news`() async throws {
        let log = try await open("p1", transport) { $0.quietTimeBesideOthers = .seconds(10) }
        sayAsOtherSoftware()
        let before = transport.sent.count
        for _ in 0..<3 {
            await clock.waitForSleepers(1)
            let asked = transport.sent.count
            clock.advance(by: .seconds(10))
            // The clock stands still until it has asked: the answer comes in time.
            while transport.sent.count == asked { await Task.yield() }
            sayAsOtherSoftware()
        }
        #expect(transport.sent[before...].allSatisfy { $0 == .replicate })
        #expect(lines.lines(Self.fallsSilent).count == 1 && lines.lines(Self.speaksAgain).isEmpty)
        await log.shutDown()
    }

    @Test func `a new connection ends the silence of a log`() async throws {
        let log = try await open("p1", transport)
        sayAsOtherSoftware()
        let before = positionsSent
        transport.reconnect()
        await clock.pass(inStepsOf: .milliseconds(100)) { positionsSent > before }
        // The quiet time was not over yet.
        #expect(clock.now.offset < .seconds(60))
        #expect(lines.lines(Self.fallsSilent).count == 1 && lines.lines(Self.speaksAgain).count == 1)
        await log.shutDown()
    }

    @Test func `a log listens again on each connection before it speaks`() async throws {
        let log = try await open("p1", Refusing(transport, refusals: 0, listensFirst: .milliseconds(500)))
        await clock.pass(inStepsOf: .milliseconds(100)) { positionsSent > 0 }
        let before = transport.sent.count
        transport.reconnect()
        try await log.persist(event("a"))
        log.generator.changeNow { $0.isAsked(now: $1) }
        #expect(transport.sent.count == before)
        await clock.pass(inStepsOf: .milliseconds(100)) { positionsSent > 1 }
        #expect(lines.lines(Self.speaksAgain).isEmpty)
        await log.shutDown()
    }

    @Test func `on the database's own channel no line silences a log, and it says once what it hears`() async throws {
        let log = try await open("p1", Refusing(transport, refusals: 0, belongsToDatabase: true))
        for _ in 0..<3 { sayAsOtherSoftware() }
        try await log.persist(event("a"))
        #expect(transport.sent.contains { if case .rdata = $0 { true } else { false } })
        #expect(log.generator.state.withLock { $0.machine.heard.foreign } == 3)
        let warnings = lines.lines.filter { $0.level == .warning }
        #expect(
            warnings.map(\.message) == [
                "streams are announced without an epoch on the database's own channel: that counts for nothing"
            ])
        await log.shutDown()
    }

    @Test func `a log speaks beside other software where it is told to`() async throws {
        let log = try await open("p1", transport) { $0.speaksBesideOthers = true }
        transport.inject(
            .position(
                ReplicationPosition(stream: "events", writer: Writer("master", epoch: 0), previous: 1, new: 9)))
        #expect(log.generator.note().heard == 0)
        try await log.persist(event("a"))
        #expect(transport.sent.contains { if case .rdata = $0 { true } else { false } })
        await log.shutDown()
    }

    /// On a broker that others may use a writer listens before it says anything.
    @Test func `a log listens before it speaks on a channel that may be anothers`() async throws {
        let shared = Refusing(transport, refusals: 0, listensFirst: .milliseconds(500))
        let log = try await open("p1", shared)
        try await log.persist(event("a"))
        log.generator.changeNow { $0.isAsked(now: $1) }
        #expect(transport.sent.isEmpty)
        transport.inject(
            .rdata(
                ReplicationRow(stream: "caches", writer: Writer("master", epoch: 0), token: .id(7), row: .emptyArray)))
        clock.advance(by: .seconds(5))
        for _ in 0..<100 { await Task.yield() }
        #expect(transport.sent.isEmpty)
        let alone = try await open("p2", Refusing(LocalTransport(), refusals: 0, listensFirst: .milliseconds(500)))
        await clock.pass(inStepsOf: .milliseconds(100)) { alone.announced.positions > 0 }
        for log in [log, alone] { await log.shutDown() }
    }

    //  the server     dies
    //  everyone       is connected again, and asks: everyone hears that, so many times
    //                 the clock stands still, and then moves by an interval
    @Test func `when a server dies everyone asks everyone, and each answers once in an interval`() async throws {
        let count = 12
        var logs: [EventLog] = []
        for number in 0..<count { logs.append(try await open(try InstanceName(validating: "p\(number)"), transport)) }
        for log in logs { try await log.reconcile() }
        clock.advance(by: .seconds(2))
        let before = positionsSent
        func answers() -> [InstanceName] {
            let positions = transport.sent.compactMap {
                if case .position(let position) = $0 { position.writer.instance } else { nil as InstanceName? }
            }
            return Array(positions.dropFirst(before))
        }
        for _ in 0..<3 {
            transport.reconnect()
            for _ in logs { transport.inject(.replicate) }
        }
        // While the clock stands still nobody speaks twice, however often he is asked.
        let atOnce = answers()
        #expect(atOnce.count == Set(atOnce).count, "\(atOnce.count) answers to \(3 * count) questions")
        clock.advance(by: .milliseconds(10))
        while Set(answers()).count < count, !Task.isCancelled { await Task.yield() }
        #expect(answers().count <= 2 * count)
        for log in logs { await log.shutDown() }
    }
}

import TestSupport
import Testing
import TidemarkTesting

@testable import Tidemark

@Suite struct StreamHealthTests {
    let scene = ClosingTests()

    private func status(
        minimum: StreamID, heartbeatAge: Int64 = 0, isMember: Bool = true, isGone: Bool = false
    ) -> StreamStatus {
        let writer = StreamStatus.WriterStatus(
            writer: Writer("p1", epoch: 1), isMember: isMember, position: minimum, isClosed: false, inFlight: 0,
            lowestInFlight: nil, inFlightMilliseconds: nil, heartbeatAgeMilliseconds: heartbeatAge, processID: nil,
            isProcessGone: isGone)
        return StreamStatus(
            stream: "events", sequence: 12, newestEvent: 12, minimumPersisted: minimum, writers: [writer], consumers: []
        )
    }

    private func own(standstill: Duration = .zero, minimum: StreamID = 0, ended: String? = nil) -> StreamHealth.Own {
        StreamHealth.Own(
            writer: Writer("p1", epoch: 1), standstill: standstill, minimum: minimum, holdsBack: nil, ended: ended)
    }

    @Test func `a log that runs and whose events are all read is well`() async throws {
        let log = try await scene.open("p1")
        try await log.persist(scene.event("a"))
        try await log.reconcile()
        let health = await log.health()
        #expect(health.isHealthy, "\(health)")
        #expect("\(health)" == "stream events is well: minimum 1, newest event 1, 1 writer, 0 consumers")
        #expect(health.heartbeatAge == .zero && health.standstill == .zero && health.heldBackBy == nil)
        await log.shutDown()
    }

    @Test func `a minimum that stands still is a problem after its limit, with the name of who holds it back`()
        async throws
    {
        let (log, other) = (try await scene.open("p1"), try await scene.open("p2"))
        let gate = Gate()
        let scope = await scene.hold("late", in: log, until: gate)
        try await other.persist(scene.event("a"))
        try await other.reconcile()
        #expect(await other.health().isHealthy)
        for log in [log, other] { try await log.generator.beat(as: try #require(log.writer)) }
        // As a log that runs looks, before and after nothing has moved.
        other.generator.changeNow { $0.run(now: $1) }
        other.generator.changeNow { $0.timePassed(now: $1) }
        scene.clock.advance(by: .seconds(11))
        let problems = await other.health().problems
        guard case .minimumStandsStill(let since, let heldBackBy)? = problems.first else {
            Issue.record("\(problems)")
            return
        }
        #expect(problems.count == 1 && since == .seconds(11) && heldBackBy?.instance == "p1")
        // The writer itself knows it first.
        let own = await log.health().heldBackBy
        #expect(own == HeldBack(instance: "p1", reason: .inFlight(1), since: .seconds(11)))
        gate.open()
        _ = try await scope.value
        try await other.reconcile()
        #expect(await other.health().isHealthy)
        for log in [log, other] { await log.shutDown() }
    }

    @Test func `a log that was shut down does not run, and one without a database says so`() async throws {
        let log = try await scene.open("p1")
        scene.store.setHook { operation, moment in
            if operation == .status, moment == .before { throw StoreDown() }
        }
        let blind = await log.health()
        #expect(blind.problems == [.storeUnavailable("the store is down")])
        scene.store.setHook { _, _ in }
        await log.shutDown()
        #expect(await log.health().problems.first == .notRunning("it was shut down"))
    }

    @Test func `a consumer lags by events and by the age of the oldest one that it has not passed`() async throws {
        let log = try await scene.open("p1")
        _ = try await log.consumer("mailer")
        try await log.persist(scene.event("a"))
        try await log.persist(scene.event("b"))
        let first = try #require(try await log.event(withID: "a")).persistedAtMilliseconds
        var limits = StreamHealth.Limits()
        #expect(await log.health(limits: limits, now: first + 60_000).isHealthy)
        limits.consumerLag = .seconds(30)
        let health = await log.health(limits: limits, now: first + 60_000)
        let lag = StreamHealth.Consumer(name: "mailer", position: 0, eventsBehind: 2, behindFor: .seconds(60))
        #expect(health.consumers == [lag])
        #expect(health.problems == [.consumerLags("mailer", events: 2, since: .seconds(60))])
        #expect("\(health)" == "consumer mailer is 2 IDs behind, for 60 s")
        #expect(await log.health(limits: limits, now: first + 30_000).isHealthy)
        await log.shutDown()
    }

    @Test func `parked events are shown, and are a problem where somebody says so`() {
        let consumers: [StreamStatus.ConsumerStatus] = [
            .init(name: "mailer", position: 12, parked: 3), .init(name: "other", position: 12, parked: 1),
        ]
        let status = StreamStatus(
            stream: "events", sequence: 12, newestEvent: 12, minimumPersisted: 12, writers: [], consumers: consumers)
        var limits = StreamHealth.Limits()
        #expect(StreamHealth(status, consumers: [], own: nil, limits: limits).isHealthy)
        limits.parked = 1
        let health = StreamHealth(status, consumers: [], own: nil, limits: limits)
        #expect(health.problems == [.eventsAreParked("mailer", events: 3)])
        #expect("\(health)" == "consumer mailer has parked 3 events: see tidemark consumer parked mailer")
    }

    @Test func `what is wrong with the writer itself comes first`() {
        let limits = StreamHealth.Limits()
        let old = StreamHealth(
            status(minimum: 9, heartbeatAge: 6000), consumers: [], own: own(standstill: .seconds(20)), limits: limits)
        #expect(
            old.problems == [
                .heartbeatIsOld("p1", age: .seconds(6)),
                .minimumStandsStill(
                    since: .seconds(20), heldBackBy: HeldBack(instance: "p1", reason: .silent, since: .seconds(6))),
            ])
        let retired = StreamHealth(status(minimum: 12, isMember: false), consumers: [], own: own(), limits: limits)
        #expect(retired.problems == [.notAMember("p1")] && retired.heartbeatAge == nil)
        let ended = StreamHealth(status(minimum: 12), consumers: [], own: own(ended: "taken"), limits: limits)
        #expect(ended.problems == [.notRunning("taken")])
        // The log has heard more than the database knows: nothing waits.
        let ahead = StreamHealth(
            status(minimum: 9, heartbeatAge: 4000), consumers: [], own: own(standstill: .seconds(20), minimum: 12),
            limits: limits)
        #expect(ahead.isHealthy && ahead.minimum == 12 && ahead.standstill == .zero)
    }

    @Test func `a consumer that was ignored when the stream was pruned does not make its health unknown`() async throws
    {
        let log = try await scene.open("p1")
        for id in ["a", "b", "c"] { try await log.persist(scene.event(id)) }
        try await log.reconcile()
        try await log.generator.beat(as: try #require(log.writer))
        _ = try await log.consumer("abandoned")
        #expect(try await log.prune(through: 2, ignoring: ["abandoned"]).through == 2)
        let health = await log.health()
        #expect(health.isHealthy, "\(health)")
        #expect(health.consumers.map(\.name) == ["abandoned"] && health.consumers.map(\.eventsBehind) == [3])
        await log.shutDown()
    }

    @Test func `without a log the database says for how long a writer has been silent`() async throws {
        let silent = StreamHealth(
            status(minimum: 9, heartbeatAge: 12_000), consumers: [], own: nil, limits: StreamHealth.Limits())
        #expect(silent.heartbeatAge == nil)
        #expect(
            silent.problems == [
                .minimumStandsStill(
                    since: .seconds(12), heldBackBy: HeldBack(instance: "p1", reason: .silent, since: .seconds(12)))
            ])
        await #expect(throws: TidemarkError.unknownStream(stream: "nothing", store: "\(scene.store)")) {
            try await scene.store.health(of: "nothing")
        }
    }
}

private struct StoreDown: Error, CustomStringConvertible {
    var description: String { "the store is down" }
}

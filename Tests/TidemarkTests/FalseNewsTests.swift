import Logging
import Synchronization
import TestSupport
import Testing
import TidemarkTesting

@testable import Tidemark

/// A peer that says what cannot be true.
@Suite(.timeLimit(.minutes(1))) struct FalseNewsTests {
    let store = InMemoryEventStore()
    let transport = LocalTransport()
    let clock = ManualClock()
    let lines = LogLines()
    static let lie = StreamID(Int64.max - 1)

    func open(_ name: InstanceName?, on store: InMemoryEventStore? = nil) async throws -> EventLog {
        try await EventLog.open(
            store ?? self.store, instance: name, transport: transport, time: TimeSource(clock),
            logger: lines.logger)
    }

    func event(_ id: String) -> Event { Event(id: id, type: "test", payload: []) }

    /// In the name of a writer, as if it had said so itself.
    func lie(as log: EventLog, at id: StreamID = lie) throws {
        let joined = try #require(log.writer)
        let nonce = log.generator.state.withLock { $0.machine.nonce(of: joined) }
        transport.inject(
            .position(ReplicationPosition(stream: "events", writer: joined, nonce: nonce, previous: 1, new: id)))
    }

    func lieWithARow(as log: EventLog) throws {
        let joined = try #require(log.writer)
        let nonce = log.generator.state.withLock { $0.machine.nonce(of: joined) }
        transport.inject(
            .rdata(
                ReplicationRow(
                    stream: "events", writer: joined, nonce: nonce, token: .id(Self.lie), row: .emptyArray)))
    }

    /// What a consumer that keeps its place was given.
    final class Arrivals: Sendable {
        private let state = Mutex<[String]>([])
        var ids: [String] { state.withLock { $0 } }

        func read(_ consumer: DurableConsumer) -> Task<Void, any Error> {
            Task {
                for try await batch in consumer.events {
                    try await consumer.checkpoint(batch)
                    state.withLock { $0 += batch.events.map(\.event.id) }
                }
            }
        }
    }

    @Test(arguments: [false, true]) func `a false line moves no checkpoint and is named`(asRow: Bool) async throws {
        let writer = try await open("p1")
        let reader = try await open(nil)
        try await writer.persist(event("a"))
        try await reader.reconcile()
        let consumer = try await reader.consumer("mailer")
        if asRow { try lieWithARow(as: writer) }
        try lie(as: writer)
        #expect(reader.generator.minimumPersistedPosition == Self.lie)
        let arrivals = Arrivals()
        let reading = arrivals.read(consumer)
        await clock.pass { arrivals.ids == ["a"] }
        #expect(store.database.streams["events"]?.consumers["mailer"]?.position == 1)
        // It goes on afterwards, and nothing is skipped.
        try await writer.persist(event("b"))
        await clock.pass { arrivals.ids == ["a", "b"] }
        #expect(store.database.streams["events"]?.consumers["mailer"]?.position == 2)
        let said = lines.lines("what was heard is above the sequence, and cannot be true: it counts for nothing")
        #expect(said.map { $0.metadata["said_by"] } == ["p1#1"])
        reading.cancel()
        for log in [writer, reader] { await log.shutDown() }
    }

    @Test func `a false line ends no writer`() async throws {
        let one = try await open("p1")
        let two = try await open("p2")
        try await one.reconcile()
        try lie(as: two)
        try lie(as: one)
        for log in [one, two] {
            try await log.reconcile()
            let writer = try #require(log.writer)
            try await log.generator.beat(as: writer)
            try await log.persist(event("after \(log.instance)"))
            try await log.withNextID { id in _ = try await log.persist(event("scope \(log.instance)"), as: id) }
            #expect(log.generator.failureSoFar == nil)
        }
        let rows = store.database.streams["events"]?.writers ?? [:]
        #expect(rows.values.allSatisfy { $0.position <= 4 })
        #expect(store.database.streams["events"]?.events.map(\.streamID) == [1, 2, 3, 4])
        for log in [one, two] { await log.shutDown() }
    }

    /// What an idle writer says aloud is never above what it has read of the sequence.
    @Test func `a false line is not promised again`() async throws {
        let idle = try await open("p1")
        let busy = try await open("p2")
        try await idle.reconcile()
        try await busy.persist(event("a"))
        try lie(as: busy)
        idle.generator.changeNow { $0.isAsked(now: $1) }
        await clock.pass {
            !lines.lines("what was heard is above the sequence, and cannot be true: it counts for nothing").isEmpty
        }
        try await busy.persist(event("b"))
        await clock.pass { idle.announced.positions > 3 }
        let promised = transport.sent.compactMap { command in
            if case .position(let position) = command { max(position.previous, position.new) } else { nil }
        }
        #expect(promised.allSatisfy { $0 <= 2 })
        #expect(idle.generator.position(of: "p1") <= 2)
        for log in [idle, busy] { await log.shutDown() }
    }

    /// One that lies again and again makes a reader late, and no more.
    @Test func `a reader gets on beside one that lies all the time`() async throws {
        let writer = try await open("p1")
        let reader = try await open(nil)
        try await reader.reconcile()
        store.setHook { operation, moment in
            guard operation == .snapshot || operation == .reconciliation, moment == .before else { return }
            try lie(as: writer)
            try lieWithARow(as: writer)
        }
        var batches = reader.events().makeAsyncIterator()
        try await clock.running {
            for number in 1...20 {
                try await writer.persist(event("\(number)"))
                try await reader.reconcile()
                let batch = try #require(try await batches.next())
                #expect(batch.events.map(\.event.id) == ["\(number)"])
            }
        }
        store.setHook(nil)
        for log in [writer, reader] { await log.shutDown() }
    }

    @Test func `waiting is not ended by a false line`() async throws {
        let writer = try await open("p1")
        let reader = try await open(nil)
        try await writer.persist(event("a"))
        try await reader.reconcile()
        try lie(as: writer)
        let outcome = try await reader.waitUntilPersisted(5, timeout: .zero)
        #expect(outcome == .timedOut(heldBackBy: nil))
        for log in [writer, reader] { await log.shutDown() }
    }

    /// An idle writer that stands in the way of others' minimum reads the sequence, and promises what it heard then.
    @Test func `an idle writer reads the sequence when others need it`() async throws {
        let reader = try await open(nil)
        let idle = try await open("p1")
        let busy = try await open("p2")
        for log in [reader, idle, busy] { try await log.reconcile() }
        await clock.pass { reader.generator.positions.count == 2 }
        // 1 is lost with its writer: no row of it is ever told.
        _ = try await store.allocate(1, in: "events", for: try #require(busy.writer))
        let before = idle.announced.positions
        try await busy.persist(event("a"))
        await clock.pass { reader.generator.minimumPersistedPosition == 2 }
        #expect(idle.announced.positions > before)
        for log in [reader, idle, busy] { await log.shutDown() }
    }
}

import Logging
import Synchronization
import TestSupport
import Testing
import TidemarkTesting

@testable import Tidemark

/// Two databases whose writers share a channel, with the same stream and the same names.
@Suite(.timeLimit(.minutes(1))) struct TwoDatabasesTests {
    let transport = LocalTransport()
    let clock = ManualClock()
    let lines = LogLines()

    func open(_ name: InstanceName?, on store: InMemoryEventStore) async throws -> EventLog {
        try await EventLog.open(
            store, instance: name, transport: transport, time: TimeSource(clock),
            logger: lines.logger)
    }

    func event(_ id: String) -> Event { Event(id: id, type: "test", payload: []) }

    @Test func `neither hears the other`() async throws {
        let stores = [InMemoryEventStore(), InMemoryEventStore()]
        let one = try await open("p1", on: stores[0])
        let other = try await open("p1", on: stores[1])
        let reader = try await open(nil, on: stores[0])
        try await reader.reconcile()
        // The other database is far ahead, and says so.
        for number in 1...20 { try await other.persist(event("other \(number)")) }
        other.generator.changeNow { $0.isAsked(now: $1) }
        await clock.pass {
            reader.generator.state.withLock { $0.machine.heard.foreign } > 20
                && one.generator.state.withLock { $0.machine.heard.foreign } > 20
        }
        #expect(reader.generator.minimumPersistedPosition == 0)
        var batches = reader.events().makeAsyncIterator()
        try await clock.running {
            for number in 1...3 {
                try await one.persist(event("\(number)"))
                let batch = try #require(try await batches.next())
                #expect(batch.events.map(\.event.id) == ["\(number)"])
                #expect(batch.through == StreamID(Int64(number)))
            }
        }
        let said = lines.lines(
            "a writer of another database speaks on this channel: it is not heard; give each database a channel of its own"
        )
        #expect(said.count == 3)
        for log in [one, other, reader] { await log.shutDown() }
    }

    /// The same epochs of the same names begin once more in a backup that is put back: what their first lives said and is
    /// still under way says nothing of their second.
    @Test func `a life before a backup was put back is not heard`() async throws {
        let store = InMemoryEventStore()
        let first = try await open("p0", on: store)
        await first.shutDown()
        let backup = store.database
        let former = try await open("p1", on: store)
        for number in 1...20 { try await former.persist(event("lost \(number)")) }
        let said = transport.sent
        await former.shutDown()
        store.restore(backup)

        let writer = try await open("p1", on: store)
        let reader = try await open(nil, on: store)
        try await reader.reconcile()
        #expect(writer.writer == Writer("p1", epoch: 1))
        for command in said { transport.inject(command) }
        #expect(reader.generator.minimumPersistedPosition == 0 && reader.generator.note().heard == 0)
        try await writer.persist(event("a"))
        await clock.pass { reader.generator.minimumPersistedPosition == 1 }
        for log in [writer, reader] { await log.shutDown() }
    }

    /// The backup has the writer as a member, with its nonce, and its old announcements are above the sequence.
    @Test func `a zombie of the life before moves no fresh reader`() async throws {
        let store = InMemoryEventStore()
        let zombie = try await open("p1", on: store)
        let backup = store.database
        for number in 1...20 { try await zombie.persist(event("lost \(number)")) }
        let said = transport.sent
        store.restore(backup)

        let reader = try await open(nil, on: store)
        try await reader.reconcile()
        for command in said { transport.inject(command) }
        #expect(reader.generator.minimumPersistedPosition == 20)
        let writer = try await open("p2", on: store)
        let consumer = try await reader.consumer("mailer")
        var batches = consumer.events.makeAsyncIterator()
        for number in 1...3 {
            try await writer.persist(event("\(number)"))
            try await reader.reconcile()
            let batch = try #require(try await batches.next())
            #expect(batch.events.map(\.event.id) == ["\(number)"])
            try await consumer.checkpoint(batch)
            #expect(store.database.streams["events"]?.consumers["mailer"]?.position == StreamID(Int64(number)))
            // It goes on saying so.
            for command in said { transport.inject(command) }
        }
        for log in [writer, reader, zombie] { await log.shutDown() }
    }

    /// A line of a program that knows no nonces, or of other software.
    @Test func `a line without a nonce is not heard`() async throws {
        let store = InMemoryEventStore()
        let writer = try await open("p1", on: store)
        let reader = try await open(nil, on: store)
        try await reader.reconcile()
        let name = try #require(writer.writer)
        transport.inject(.position(ReplicationPosition(stream: "events", writer: name, previous: 5, new: 5)))
        transport.inject(
            .rdata(ReplicationRow(stream: "events", writer: name, token: .id(1), row: .emptyArray)))
        #expect(reader.generator.minimumPersistedPosition == 0)
        #expect(reader.generator.state.withLock { $0.machine.heard.foreign } == 2)
        for log in [writer, reader] { await log.shutDown() }
    }
}

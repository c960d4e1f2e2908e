import Foundation
import TestSupport
import Testing
import Tidemark
import TidemarkSQLite

@Suite struct ConsumerTests {
    @Test func `a checkpoint is where the next claim begins, and never goes back`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        _ = try await store.persist(events(0..<8), in: stream, by: writer)
        let first = try await store.claimConsumer("mails", in: stream)
        #expect(first.position == 0 && first.delivered == DeliveredSum())
        let delivered = DeliveredSum(count: 6, sum: .max)
        try await store.checkpoint(first, at: 7, snapshot: SnapshotMark(newestCommit: 3), delivered: delivered)
        try await store.checkpoint(first, at: 5, snapshot: SnapshotMark(newestCommit: 2), delivered: nil)
        let second = try await store.claimConsumer("mails", in: stream)
        #expect(second.position == 7 && second.delivered == delivered)
        #expect(second.generation > first.generation)
    }

    @Test func `only the newest claim moves the checkpoint`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        _ = try await store.persist(events(0..<8), in: stream, by: writer)
        let old = try await store.claimConsumer("mails", in: stream)
        try await store.verify(old)
        let new = try await store.claimConsumer("mails", in: stream)
        let taken = TidemarkError.consumerTaken(stream: stream, consumer: "mails")
        await #expect(throws: taken) { try await store.verify(old) }
        await #expect(throws: taken) { try await store.checkpoint(old, at: 8, snapshot: SnapshotMark(newestCommit: 9)) }
        try await store.checkpoint(new, at: 2, snapshot: SnapshotMark(newestCommit: 1))
        #expect(try await store.status(of: stream)?.consumers.map(\.position) == [2])
    }

    @Test func `a consumer of a stream that nobody has joined makes it`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let claim = try await store.claimConsumer("mails", in: stream)
        #expect(claim.position == 0)
        #expect(try await store.status(of: stream)?.consumers.map(\.name) == ["mails"])
        let log = try await EventLog.open(store, stream: stream, instance: "p1")
        try await log.persist(events("a"))
        var iterator = try await log.consumer("mails").events.makeAsyncIterator()
        #expect(try await iterator.next()?.events.map(\.event.id) == ["a"])
        await log.shutDown()
    }

    @Test func `a consumer that another process has is left alone unless it is to be taken over`() async throws {
        let folder = try TemporaryFolder()
        let (first, second) = (try await folder.open(), try await folder.open())
        _ = try await first.claimConsumer("mails", in: stream)
        let process = "process \(ProcessInfo.processInfo.processIdentifier)"
        await #expect(throws: TidemarkError.consumerInUse(stream: stream, consumer: "mails", by: process)) {
            try await second.claimConsumer("mails", in: stream, takingOver: false)
        }
        #expect(try await second.status(of: stream)?.consumers.map(\.isInUse) == [true])
        // As when the process ends, however it does.
        await first.close()
        #expect(try await second.status(of: stream)?.consumers.map(\.isInUse) == [false])
        _ = try await second.claimConsumer("mails", in: stream, takingOver: false)
        _ = try await folder.open().claimConsumer("mails", in: stream, takingOver: true)
    }

    @Test func `a consumer is moved by hand as far as everything is finished, and whoever reads is told`() async throws
    {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        _ = try await store.persist(events(0..<5), in: stream, by: writer)
        _ = try await store.beat(writer, at: 4)
        // In flight.
        #expect(try await store.allocate(1, in: stream, for: writer) == [6])
        let claim = try await store.claimConsumer("mails", in: stream)
        #expect(try await store.moveConsumer("mails", in: stream, to: .end) == 5)
        await #expect(throws: TidemarkError.consumerTaken(stream: stream, consumer: "mails")) {
            try await store.verify(claim)
        }
        #expect(try await store.moveConsumer("mails", in: stream, to: .after(3)) == 3)
        #expect(try await store.claimConsumer("mails", in: stream).passed?.streamID == 3)
        #expect(try await store.audit(stream, consumer: "mails", limit: 1).isComplete)
        await #expect(throws: TidemarkError.notReached(stream: stream, id: 6, highest: 5)) {
            try await store.moveConsumer("mails", in: stream, to: .after(6))
        }
        #expect(try await store.moveConsumer("mails", in: stream, to: .beginning) == 0)
        #expect(try await store.claimConsumer("mails", in: stream).delivered == DeliveredSum())
        await #expect(
            throws: TidemarkError.unknownConsumer(stream: stream, consumer: "post", known: ["mails"])
        ) {
            try await store.moveConsumer("post", in: stream, to: .end)
        }
    }
}

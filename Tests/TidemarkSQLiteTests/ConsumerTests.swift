import TestSupport
import Testing
import Tidemark
import TidemarkSQLite

@Suite struct ConsumerTests {
    @Test func `a checkpoint is where the next claim begins, and never goes back`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        _ = try await store.join(stream, as: "p1")
        let first = try await store.claimConsumer("mails", in: stream)
        #expect(first.position == 0 && first.delivered == DeliveredSum())
        let delivered = DeliveredSum(count: 6, sum: .max)
        try await store.checkpoint(first, at: 7, commitNumber: 3, delivered: delivered)
        try await store.checkpoint(first, at: 5, commitNumber: 2, delivered: nil)
        let second = try await store.claimConsumer("mails", in: stream)
        #expect(second.position == 7 && second.delivered == delivered)
        #expect(second.generation > first.generation)
    }

    @Test func `only the newest claim moves the checkpoint`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        _ = try await store.join(stream, as: "p1")
        let old = try await store.claimConsumer("mails", in: stream)
        try await store.verify(old)
        let new = try await store.claimConsumer("mails", in: stream)
        let taken = TidemarkError.consumerTaken(stream: stream, consumer: "mails")
        await #expect(throws: taken) { try await store.verify(old) }
        await #expect(throws: taken) { try await store.checkpoint(old, at: 9, commitNumber: 9) }
        try await store.checkpoint(new, at: 2, commitNumber: 1)
        #expect(try await store.status(of: stream)?.consumers.map(\.position) == [2])
    }

    @Test func `a consumer of a stream that nobody has joined is an error`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        await #expect(throws: TidemarkError.unknownStream(stream: stream, store: store.path)) {
            try await store.claimConsumer("mails", in: stream)
        }
    }
}

import GRDB
import TestSupport
import Testing
import Tidemark
import TidemarkTesting
@testable import TidemarkSQLite

@Suite struct MembershipTests {
    @Test func `the first to join makes the stream and has epoch 1 at position 0`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        #expect(try await store.reconciliation(of: stream, above: 0, limit: 10) == nil)
        let joined = try await store.join(stream, as: "p1")
        #expect(joined.writer == Writer("p1", epoch: 1))
        #expect(joined.position == 0)
        #expect(joined.membership.members == [Writer("p1", epoch: 1): 0])
        #expect(joined.membership.version > 1)
    }

    @Test func `each join draws a nonce, which comes with the members`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let first = try await store.join(stream, as: "p1")
        let second = try await store.join(stream, as: "p2")
        let again = try await store.join(stream, as: "p1")
        let nonces = [first.nonce, second.nonce, again.nonce].compactMap(\.self)
        #expect(Set(nonces).count == 3 && nonces.allSatisfy { $0 > 0 })
        let found = try await store.reconciliation(of: stream, above: 0, limit: 0)?.membership
        #expect(found?.nonces == [again.writer: again.nonce, second.writer: second.nonce].compactMapValues(\.self))
    }

    @Test func `who joins again takes the name over, and the zombie can write no more`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let zombie = try await store.join(stream, as: "p1").writer
        let ids = try await store.allocate(1, in: stream, for: zombie)
        let joined = try await store.join(stream, as: "p1")
        #expect(joined.writer.epoch == 2)
        #expect(joined.position == 1)
        let taken = TidemarkError.instanceTaken(stream: stream, writer: zombie, by: joined.writer)
        await #expect(throws: taken) { try await store.persist(events("a"), in: stream, by: zombie) }
        await #expect(throws: taken) { try await store.persist(events("a")[0], as: ids[0], in: stream, by: zombie) }
        await #expect(throws: taken) { try await store.allocate(1, in: stream, for: zombie) }
        #expect(try await store.beat(zombie, at: 0) == .taken(by: joined.writer))
        #expect(try await store.all().isEmpty)
    }

    @Test func `a writer that left is retired, and leaving twice changes nothing`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let joined = try await store.join(stream, as: "p1")
        let writer = joined.writer
        try await store.leave(stream, as: writer)
        let left = try await store.reconciliation(of: stream, above: 0, limit: 0)?.membership
        #expect(left?.members == [:])
        #expect(try #require(left).version > joined.membership.version)
        try await store.leave(stream, as: writer)
        #expect(try await store.reconciliation(of: stream, above: 0, limit: 0)?.membership == left)
        await #expect(throws: TidemarkError.retired(stream: stream, writer: writer)) {
            try await store.persist(events("a"), in: stream, by: writer)
        }
        #expect(try await store.beat(writer, at: 0) == .retired)
    }

    @Test func `a zombie does not take its successor off the members by leaving`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let zombie = try await store.join(stream, as: "p1").writer
        let successor = try await store.join(stream, as: "p1").writer
        try await store.leave(stream, as: zombie)
        #expect(try await store.persist(events("a"), in: stream, by: successor) == [.persisted(1)])
    }

    /// Only one whose name nobody took may join again.
    @Test func `a name that was taken and left is taken all the same, for who had it before`() async throws {
        let folder = try TemporaryFolder()
        for store in [try await folder.open(), InMemoryEventStore()] as [any EventStore] {
            let first = try await store.join(stream, as: "p1").writer
            let second = try await store.join(stream, as: "p1").writer
            try await store.leave(stream, as: second)
            let taken = TidemarkError.instanceTaken(stream: stream, writer: first, by: Writer("p1", epoch: 3))
            await #expect(throws: taken) { try await store.persist(events("a"), in: stream, by: first) }
            await #expect(throws: taken) { try await store.rejoin(stream, after: first) }
            #expect(try await store.beat(first, at: 0) == .taken(by: Writer("p1", epoch: 3)))
            // The second one left by itself, or was retired: nobody has the name since.
            #expect(try await store.rejoin(stream, after: second).writer == Writer("p1", epoch: 4))
        }
    }

    @Test func `who asks again to join, because the answer was lost, gets the epoch that it has`() async throws {
        let folder = try TemporaryFolder()
        for store in [try await folder.open(), InMemoryEventStore()] as [any EventStore] {
            let first = try await store.join(stream, as: "p1").writer
            try await store.retire(stream, instance: "p1")
            let again = try await store.rejoin(stream, after: first, nonce: 7)
            _ = try await store.persist(events("a"), in: stream, by: again.writer)
            let same = try await store.rejoin(stream, after: first, nonce: 7)
            #expect(same.writer == again.writer && same.membership == again.membership)
            #expect(same.position == again.position)
            let taken = TidemarkError.instanceTaken(stream: stream, writer: first, by: again.writer)
            await #expect(throws: taken) { try await store.rejoin(stream, after: first, nonce: 8) }
            // Retired once more before it heard of it: still nobody else has had the name.
            try await store.retire(stream, instance: "p1")
            #expect(try await store.rejoin(stream, after: first, nonce: 7).writer == Writer("p1", epoch: 5))
            let heir = try await store.join(stream, as: "p1").writer
            let lost = TidemarkError.instanceTaken(stream: stream, writer: first, by: heir)
            await #expect(throws: lost) { try await store.rejoin(stream, after: first, nonce: 7) }
        }
    }

    @Test func `a retired writer's name joins again under the next epoch`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        try await store.retire(stream, instance: "p1")
        let version = try await store.version()
        try await store.retire(stream, instance: "p1")
        #expect(try await store.version() == version)
        await #expect(throws: TidemarkError.retired(stream: stream, writer: writer)) {
            try await store.allocate(1, in: stream, for: writer)
        }
        let joined = try await store.join(stream, as: "p1")
        #expect(joined.writer == Writer("p1", epoch: 3))
        #expect(joined.membership.version > version)
    }

    @Test func `joining starts above every row and every promise, where the sequence was put back`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        _ = try await store.persist(events("a", "b"), in: stream, by: writer)
        _ = try await store.allocate(5, in: stream, for: writer)
        _ = try await store.closeWriter(stream, instance: "p1")
        try await store.withWriter { try $0.execute(sql: "UPDATE tidemark_streams SET sequence = 1") }
        await #expect(throws: TidemarkError.self) { try await store.persist(events("c"), in: stream, by: writer) }
        let joined = try await store.join(stream, as: "p2")
        #expect(joined.position == 7)
        #expect(joined.raisedFrom == 1)
        #expect(try await store.join(stream, as: "p3").raisedFrom == nil)
        #expect(try await store.persist(events("c"), in: stream, by: joined.writer) == [.persisted(8)])
        #expect(try await store.persist(events("d"), in: stream, by: writer) == [.persisted(9)])
    }

    @Test func `an epoch that the database has not seen yet means that it was put back`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        _ = try await store.join(stream, as: "p1")
        let future = Writer("p1", epoch: 2)
        let error = await #expect(throws: TidemarkError.self) {
            try await store.persist(events("a"), in: stream, by: future)
        }
        guard case .databaseWentBackwards = error else { return #expect(Bool(false), "\(String(describing: error))") }
    }

    @Test func `unknown streams and instances are errors of their own`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        await #expect(throws: TidemarkError.unknownStream(stream: stream, store: store.path)) {
            try await store.closeWriter(stream, instance: "p9")
        }
        _ = try await store.join(stream, as: "p1")
        await #expect(throws: TidemarkError.unknownInstance(stream: stream, instance: "p9")) {
            try await store.closeWriter(stream, instance: "p9")
        }
    }
}

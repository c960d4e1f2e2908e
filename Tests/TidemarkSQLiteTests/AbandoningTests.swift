import TestSupport
import Testing
import Tidemark
import TidemarkSQLite

@Suite struct AbandoningTests {
    @Test func `a tombstone refuses the commit that comes too late`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        let ids = try await store.allocate(2, in: stream, for: writer)
        #expect(try await store.abandon([ids[0]], in: stream, by: writer).isEmpty)
        await #expect(throws: TidemarkError.closed(stream: stream, instance: "p1", id: 1)) {
            try await store.persist(events("a")[0], as: ids[0], in: stream, by: writer)
        }
        #expect(try await store.persist(events("a")[0], as: ids[1], in: stream, by: writer) == .persisted(2))
        #expect(try await store.all().map(\.streamID) == [2])
        #expect(try await store.finished() == [1...2])
    }

    @Test func `abandoning returns the IDs that hold an event, and can be repeated`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        let ids = try await store.allocate(3, in: stream, for: writer)
        _ = try await store.persist(events("a")[0], as: ids[1], in: stream, by: writer)
        #expect(try await store.abandon(ids, in: stream, by: writer) == [2])
        #expect(try await store.abandon(ids, in: stream, by: writer) == [2])
        #expect(try await store.finished() == [1...3])
    }

    @Test func `an ID may be abandoned after its writer's epoch is over`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let zombie = try await store.join(stream, as: "p1").writer
        let ids = try await store.allocate(1, in: stream, for: zombie)
        _ = try await store.join(stream, as: "p1")
        #expect(try await store.abandon(ids, in: stream, by: zombie).isEmpty)
        #expect(try await store.finished() == [1...1])
    }

    @Test func `an ID that was never handed out gets no tombstone`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        let ids = try await store.allocate(1, in: stream, for: writer)
        let error = await #expect(throws: TidemarkError.self) {
            try await store.abandon(ids + [2], in: stream, by: writer)
        }
        guard case .databaseWentBackwards(_, 2, _) = error else {
            return #expect(Bool(false), "\(String(describing: error))")
        }
        #expect(try await store.finished() == [])
    }

    @Test func `many IDs are abandoned in one commit`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        let ids = try await store.allocate(20_000, in: stream, for: writer)
        #expect(try await store.abandon(ids, in: stream, by: writer).isEmpty)
        #expect(try await store.finished() == [1...20_000])
        let request = SnapshotRequest(
            delivered: nil, membershipVersion: try await store.version(), after: 0, through: 0, limit: 1, byteLimit: 1)
        #expect(try await store.snapshot(of: stream, request)?.mark.place == 1)
    }
}

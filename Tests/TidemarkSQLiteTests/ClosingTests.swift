import TestSupport
import Testing
import Tidemark
import TidemarkSQLite

@Suite struct ClosingTests {
    @Test func `an ID that was closed can be committed no more, a newer one can`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        let ids = try await store.allocate(3, in: stream, for: writer)
        #expect(try await store.closeWriter(stream, instance: "p1") == 3)
        await #expect(throws: TidemarkError.closed(stream: stream, instance: "p1", id: ids[1])) {
            try await store.persist(events("a")[0], as: ids[1], in: stream, by: writer)
        }
        let next = try await store.allocate(1, in: stream, for: writer)
        #expect(try await store.persist(events("a")[0], as: next[0], in: stream, by: writer) == .persisted(4))
        #expect(try await store.finished() == [4...4])
    }

    @Test func `closing one writer leaves the others alone`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let other = try await store.join(stream, as: "p2").writer
        _ = try await store.join(stream, as: "p1")
        let ids = try await store.allocate(1, in: stream, for: other)
        _ = try await store.closeWriter(stream, instance: "p1")
        #expect(try await store.persist(events("a")[0], as: ids[0], in: stream, by: other) == .persisted(1))
    }

    @Test func `a heartbeat with an older promise learns that its writer was closed`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        _ = try await store.allocate(3, in: stream, for: writer)
        _ = try await store.closeWriter(stream, instance: "p1")
        #expect(try await store.beat(writer, at: 1) == .alive(newestCommitted: 0, durablePosition: 3))
        #expect(try await store.status(of: stream)?.writers.first?.isClosed == true)
        #expect(try await store.beat(writer, at: 3) == .alive(newestCommitted: 0, durablePosition: 3))
        #expect(try await store.status(of: stream)?.writers.first?.isClosed == false)
    }
}

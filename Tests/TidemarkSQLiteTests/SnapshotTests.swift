import TestSupport
import Testing
import Tidemark
import TidemarkSQLite

@Suite struct SnapshotTests {
    private static func request(
        version: Int, after: StreamID = 0, through: StreamID = 100, limit: Int = 100, byteLimit: Int = 1 << 20,
        delivered: Delivered? = nil
    ) -> SnapshotRequest {
        SnapshotRequest(
            delivered: delivered, membershipVersion: version, after: after, through: through, limit: limit,
            byteLimit: byteLimit)
    }

    private static func filled(_ folder: TemporaryFolder) async throws -> (SQLiteEventStore, Joined) {
        let store = try await folder.open()
        let joined = try await store.join(stream, as: "p1")
        _ = try await store.persist(events(1..<6), in: stream, by: joined.writer)
        return (store, joined)
    }

    @Test func `a batch has the events after one ID and up to another`() async throws {
        let folder = try TemporaryFolder()
        let (store, _) = try await Self.filled(folder)
        let snapshot = try await store.snapshot(
            of: stream, Self.request(version: try await store.version(), after: 1, through: 4))
        #expect(snapshot?.events.map(\.streamID) == [2, 3, 4])
        #expect(snapshot?.isTruncated == false)
        #expect(snapshot?.newestEvent == 5)
        #expect(snapshot?.sequence == 5)
        #expect(snapshot?.mark.place == 1)
        #expect(try await store.snapshot(of: "none", Self.request(version: try await store.version())) == nil)
    }

    @Test(arguments: [(0, 1000, 0), (2, 1000, 2), (5, 1000, 5), (100, 1, 1), (100, 4, 2), (100, 15, 5)])
    func `a batch ends at its limits, and says whether they cut it off`(
        limit: Int, byteLimit: Int, count: Int
    ) async throws {
        let folder = try TemporaryFolder()
        let (store, _) = try await Self.filled(folder)
        let snapshot = try await store.snapshot(
            of: stream, Self.request(version: try await store.version(), limit: limit, byteLimit: byteLimit))
        #expect(snapshot?.events.count == count)
        #expect(snapshot?.isTruncated == (count < 5))
    }

    //  reader                           writer p2
    //  computes its watermark
    //                                   joins: the version is raised
    //  snapshot: another version, no events
    @Test func `a writer that joins while the reader pauses keeps the batch empty`() async throws {
        let folder = try TemporaryFolder()
        let (store, joined) = try await Self.filled(folder)
        let late = try await store.join(stream, as: "p2")
        let snapshot = try await store.snapshot(of: stream, Self.request(version: joined.membership.version))
        #expect(snapshot?.events.isEmpty == true)
        #expect(snapshot?.membership == late.membership)
        let again = try await store.snapshot(of: stream, Self.request(version: late.membership.version))
        #expect(again?.events.count == 5)
    }

    @Test func `without members a batch goes to the newest event, whatever the minimum is`() async throws {
        let folder = try TemporaryFolder()
        let (store, joined) = try await Self.filled(folder)
        try await store.leave(stream, as: joined.writer)
        let snapshot = try await store.snapshot(
            of: stream, Self.request(version: try await store.version(), through: 2))
        #expect(snapshot?.membership.members.isEmpty == true)
        #expect(snapshot?.events.map(\.streamID) == [1, 2, 3, 4, 5])
        // It still takes the version that was asked for: the reader has not seen yet that nobody is left.
        let before = try await store.snapshot(of: stream, Self.request(version: joined.membership.version))
        #expect(before?.events.isEmpty == true)
    }

    @Test func `the delivered event is known again by its ID, its commit and its id`() async throws {
        let folder = try TemporaryFolder()
        let (store, _) = try await Self.filled(folder)
        let number = try #require(try await store.all().first).mark
        let right = Delivered(streamID: 3, mark: number, eventID: "e3")
        let wrong = [
            Delivered(streamID: 4, mark: number, eventID: "e3"),
            Delivered(streamID: 3, mark: CommitMark(number.rawValue + 1), eventID: "e3"),
            Delivered(streamID: 3, mark: number, eventID: "e3\0"),
        ]
        let known = try await store.snapshot(
            of: stream, Self.request(version: try await store.version(), after: 3, delivered: right))
        #expect(known?.deliveredIsThere == true)
        #expect(known?.events.count == 2)
        for delivered in wrong {
            let snapshot = try await store.snapshot(
                of: stream, Self.request(version: try await store.version(), after: 3, delivered: delivered))
            #expect(snapshot?.deliveredIsThere == false)
            #expect(snapshot?.events.isEmpty == true)
        }
    }

    @Test func `tombstones are no events`() async throws {
        let folder = try TemporaryFolder()
        let (store, joined) = try await Self.filled(folder)
        let id = try await store.allocate(1, in: stream, for: joined.writer)
        _ = try await store.abandon(id, in: stream, by: joined.writer)
        let snapshot = try await store.snapshot(of: stream, Self.request(version: try await store.version()))
        #expect(snapshot?.events.count == 5)
        #expect(snapshot?.newestEvent == 5)
        #expect(snapshot?.mark.place == 2)
    }
}

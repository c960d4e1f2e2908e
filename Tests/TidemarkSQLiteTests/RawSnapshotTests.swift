import TestSupport
import Testing
import Tidemark
import TidemarkSQLite

/// Events that are looked at where they lie are the same events.
@Suite struct RawSnapshotTests {
    private struct Copied: Hashable {
        let streamID: StreamID
        let id: String
        let type: String
        let key: String?
        let payload: [UInt8]
        let instance: InstanceName
        let mark: CommitMark

        init(_ event: RawEvent) {
            streamID = event.streamID
            id = Self.text(event.id)
            type = Self.text(event.type)
            key = if let bytes = event.key { Self.text(bytes) } else { nil }
            payload = event.payload.indices.map { event.payload[$0] }
            instance = event.instance
            mark = event.mark
        }

        init(_ event: PersistedEvent) {
            streamID = event.streamID
            id = event.event.id
            type = event.event.type
            key = event.event.key
            payload = event.event.payload
            instance = event.instance
            mark = event.mark
        }

        private static func text(_ bytes: Span<UInt8>) -> String {
            String(decoding: bytes.indices.map { bytes[$0] }, as: UTF8.self)
        }
    }

    private static let odd = [
        Event(id: "a", type: "noted", key: nil, payload: []),
        Event(id: "b\0c", type: "noted", key: "", payload: [0, 1, 0]),
        Event(id: "\u{1F30A} a wave that is longer than fifteen bytes", type: "waved", key: "é", payload: [255]),
    ]

    private static func request(version: Int, limit: Int = 100) -> SnapshotRequest {
        SnapshotRequest(
            delivered: nil, membershipVersion: version, after: 0, through: 100, limit: limit, byteLimit: 1 << 20)
    }

    private static func filled(_ folder: TemporaryFolder) async throws -> SQLiteEventStore {
        let store = try await folder.open()
        let joined = try await store.join(stream, as: "p1")
        _ = try await store.persist(odd, in: stream, by: joined.writer)
        return store
    }

    @Test func `raw events have what copied ones have`() async throws {
        let folder = try TemporaryFolder()
        let store = try await Self.filled(folder)
        let copied = try await store.snapshot(of: stream, Self.request(version: try await store.version()))
        let raw = try await store.rawSnapshot(
            of: stream, Self.request(version: try await store.version()), into: [Copied](), accepting: { _ in true }
        ) { $0.append(Copied($1)) }
        #expect(raw?.result == copied?.events.map(Copied.init))
        #expect(raw?.result.map(\.id) == Self.odd.map(\.id))
        #expect(raw?.count == 3 && raw?.snapshot.isTruncated == false)
        #expect(raw?.last == copied?.last)
        #expect(raw?.snapshot.membership == copied?.membership)
    }

    @Test func `a batch of raw events ends at its limit`() async throws {
        let folder = try TemporaryFolder()
        let store = try await Self.filled(folder)
        let raw = try await store.rawSnapshot(
            of: stream, Self.request(version: try await store.version(), limit: 2), into: 0, accepting: { _ in true }
        ) { sum, _ in sum += 1 }
        #expect(raw?.result == 2 && raw?.count == 2 && raw?.snapshot.isTruncated == true)
        #expect(raw?.last?.eventID == "b\0c")
    }

    @Test func `no event is looked at in a snapshot that is not accepted, or of another membership`() async throws {
        let folder = try TemporaryFolder()
        let store = try await Self.filled(folder)
        let current = try await store.version()
        for (version, accepts) in [(current, false), (current - 1, true)] {
            let raw = try await store.rawSnapshot(
                of: stream, Self.request(version: version), into: 0, accepting: { _ in accepts }
            ) { sum, _ in sum += 1 }
            #expect(raw?.result == 0 && raw?.count == 0 && raw?.last == nil)
        }
        let none = try await store.rawSnapshot(
            of: "none", Self.request(version: try await store.version()), into: 0, accepting: { _ in true }
        ) { _, _ in }
        #expect(none == nil)
    }

    @Test func `a visit that throws ends the snapshot with its error`() async throws {
        struct Enough: Error {}
        let folder = try TemporaryFolder()
        let store = try await Self.filled(folder)
        await #expect(throws: Enough.self) {
            try await store.rawSnapshot(
                of: stream, Self.request(version: try await store.version()), into: 0, accepting: { _ in true }
            ) { _, _ in throw Enough() }
        }
        // The connection is none the worse for it.
        #expect(try await store.all().count == 3)
    }
}

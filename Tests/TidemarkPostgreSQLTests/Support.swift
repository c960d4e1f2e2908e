import TestSupport
import Tidemark

@testable import TidemarkPostgreSQL

let stream: StreamName = "events"

/// Events `a`, `b`, … that differ in nothing but their ids.
func events(_ ids: String...) -> [Event] {
    ids.map { Event(id: $0, type: "noted", payload: Array($0.utf8)) }
}

/// Runs `body` with a store in a new database.
func withStore(
    _ options: PostgreSQLStoreOptions = .init(),
    _ body: (PostgreSQLEventStore, PostgresConfiguration) async throws -> Void
) async throws {
    let configuration = try await TestCluster.newDatabase()
    try await withStore(at: configuration, options) { try await body($0, configuration) }
}

/// Runs `body` with a store in this database.
func withStore(
    at configuration: PostgresConfiguration, _ options: PostgreSQLStoreOptions = .init(),
    _ body: (PostgreSQLEventStore) async throws -> Void
) async throws {
    let store = try await PostgreSQLEventStore.open(configuration, options: options)
    do {
        try await body(store)
        await store.close()
    } catch {
        await store.close()
        throw error
    }
}

extension EventStore {
    /// A batch of events after this ID, whatever the membership.
    func batch(
        after: StreamID = 0, through: StreamID = StreamID(.max), limit: Int = 100_000, byteLimit: Int = .max
    ) async throws -> Snapshot? {
        let version = try await reconciliation(of: stream, above: 0, limit: 0)?.membership.version ?? 0
        return try await snapshot(
            of: stream,
            SnapshotRequest(
                delivered: nil, membershipVersion: version, after: after, through: through, limit: limit,
                byteLimit: byteLimit))
    }

    func all() async throws -> [StreamID] { try await batch()?.events.map(\.streamID) ?? [] }

    func finished() async throws -> [ClosedRange<StreamID>]? {
        try await reconciliation(of: stream, above: 0, limit: 100_000)?.finished
    }

    func beat(_ writer: Writer, at position: StreamID) async throws -> HeartbeatAnswer? {
        try await heartbeat([Heartbeat(stream: stream, writer: writer, position: position)]).first
    }
}

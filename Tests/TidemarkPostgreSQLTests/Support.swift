import Foundation
import Logging
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

/// Ends the backends that are there now and of which this is true, and returns when they are gone.
func endBackends(_ condition: String, by administrator: PostgresConfiguration) async throws {
    let ended = try await connecting(administrator) { session in
        // Nobody else is ended, in whatever order the server looks.
        let rows = try session.query(
            "SELECT pid FROM pg_stat_activity WHERE CASE WHEN \(condition) THEN pg_terminate_backend(pid) ELSE false END"
        )
        return try (0..<rows.count).map { try rows.int64($0, 0) }
    }
    try await eventually("they are gone") {
        try await connecting(administrator) { session in
            try session.query("SELECT FROM pg_stat_activity WHERE pid = ANY ($1)", [.int64s(ended)]).count == 0
        }
    }
}

/// Runs a script with `psql`, which ends with 3 at the first error.
func psql(
    _ configuration: PostgresConfiguration, _ script: String, variables: [String: String] = [:], stopping: Bool = true
) async throws -> Outcome {
    let settings = variables.merging(stopping ? ["ON_ERROR_STOP": "1"] : [:]) { $1 }.map { "\($0)=\($1)" }
    let program = try Program(
        executable: URL(fileURLWithPath: TestCluster.binaries + "/psql"),
        ["-X", "-d", configuration.address.text, "-f", "-"] + settings.flatMap { ["-v", $0] })
    program.write(script)
    program.endInput()
    return try await program.outcome()
}

extension PostgresAddress {
    /// For other programs that use libpq.
    var text: String { parameters.map { "\($0)='\($1)'" }.joined(separator: " ") }
}

/// Runs `body` with a log that runs.
func withLog(
    _ store: any EventStore, as instance: InstanceName? = nil, logger: Logger = Logger(label: "tidemark"),
    _ body: (EventLog) async throws -> Void
) async throws {
    let log = try await EventLog.open(store, stream: stream, instance: instance, logger: logger)
    let running = Task { try await log.run() }
    var failure: (any Error)?
    do { try await body(log) } catch { failure = error }
    running.cancel()
    _ = try? await running.value
    await log.shutDown()
    if let failure { throw failure }
}

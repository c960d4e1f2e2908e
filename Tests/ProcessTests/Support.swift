import Foundation
import TestSupport
import Testing
import Tidemark
import TidemarkReplication
import TidemarkSQLite

let stream: StreamName = "events"

/// A folder with a database, and the times that tests of processes use: short, and yet several times what a busy
/// machine takes.
final class Scene: Sendable {
    static let heartbeat = 200
    static let silence = 2_000
    static let retirement = 4_000
    static let busy = 500

    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// A process that does what it is told.
    func puppet(_ instance: String?, closesNobody: Bool = true, busyMilliseconds: Int = 30_000) async throws -> Program
    {
        var arguments = [
            "puppet", "--folder", folder.path, "--heartbeat-milliseconds", "\(Self.heartbeat)",
            "--silence-milliseconds", "\(Self.silence)", "--retirement-milliseconds", "\(Self.retirement)",
            "--busy-milliseconds", "\(busyMilliseconds)",
        ]
        if closesNobody { arguments.append("--closes-nobody") }
        if let instance { arguments += ["--instance", instance] }
        let program = try Program("CrashTest", arguments)
        try await program.waitForLine("ready")
        return program
    }

    /// An instance in this process, which closes whoever is silent.
    func withLog<Value: Sendable>(
        _ instance: InstanceName?, retirement: Duration = .seconds(600),
        _ body: @Sendable (EventLog) async throws -> Value
    ) async throws -> Value {
        var sqlite = SQLiteConfiguration()
        sqlite.busyTimeout = .milliseconds(Self.busy)
        var configuration = EventLogConfiguration()
        configuration.heartbeatInterval = .milliseconds(Self.heartbeat)
        configuration.silenceTimeout = .milliseconds(Self.silence)
        configuration.retirementTimeout = retirement
        let log = try await EventLog.open(
            SQLiteEventStore.open(path: folder.database, configuration: sqlite), stream: stream, instance: instance,
            transport: UnixSocketTransport(besideDatabase: folder.database), configuration: configuration)
        let service = Task { try await log.run() }
        let value: Value
        do {
            value = try await body(log)
        } catch {
            await log.shutDown()
            throw error
        }
        service.cancel()
        try await service.value
        return value
    }
}

extension Program {
    /// Waits for a line that begins so, and returns the rest of the first one.
    @discardableResult
    func waitForLine(_ start: String) async throws -> String {
        try await eventually("a line \"\(start)\"") { lines.contains { $0.hasPrefix(start) } || !isRunning }
        guard let line = lines.first(where: { $0.hasPrefix(start) }) else {
            throw TookTooLong("the program ended without \"\(start)\": \(lines) \(errors)")
        }
        return String(line.dropFirst(start.count))
    }

    /// The orderly end.
    func end() async throws {
        endInput()
        #expect(try await outcome().status == 0)
        #expect(!lines.contains { $0.hasPrefix("failed") })
    }
}

extension EventLog {
    /// The ids of the events that this log may read by now, of which there has to be one.
    func readable() async throws -> [String] {
        let minimum = minimumPersistedPosition
        guard minimum > 0 else { return [] }
        var all: [String] = []
        for try await batch in events() {
            all += batch.events.map(\.event.id)
            if batch.through >= minimum { break }
        }
        return all
    }

    var minimumPersistedPosition: StreamID { generator.minimumPersistedPosition }

    /// What the database says of a writer.
    func status(of instance: InstanceName) async throws -> StreamStatus.WriterStatus? {
        try await store.status(of: stream, includingLeft: true)?.writers.first { $0.writer.instance == instance }
    }

    /// Waits until the minimum is there, and fails the test when it does not come.
    func waitFor(_ id: StreamID) async throws {
        let outcome = try await waitUntilPersisted(id, timeout: .seconds(60))
        #expect(outcome == .reached)
    }
}

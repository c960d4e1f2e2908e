import Logging
import Tidemark

@testable import TidemarkReplication

/// An instance with a transport of its own, as in a process of its own, and what it hears.
final class TestInstance {
    let transport: UnixSocketTransport
    let connection: any ReplicationConnection
    private var events: AsyncStream<ReplicationEvent>.Iterator

    init(_ name: InstanceName, on transport: UnixSocketTransport) async throws {
        let (stream, continuation) = AsyncStream.makeStream(of: ReplicationEvent.self)
        self.transport = transport
        events = stream.makeAsyncIterator()
        connection = try await transport.connect(as: name) { continuation.yield($0) }
    }

    convenience init(
        _ name: InstanceName, in folder: String, configuration: UnixSocketConfiguration = UnixSocketConfiguration()
    ) async throws {
        try await self.init(name, on: .quiet(folder, configuration))
    }

    func next() async -> ReplicationEvent? { await events.next() }

    func waitUntilConnected() async {
        while let event = await next() {
            if case .connected = event { return }
        }
    }

    func waitUntilDisconnected() async -> String? {
        while let event = await next() {
            if case .disconnected(let reason) = event { return reason }
        }
        return nil
    }

    /// The next position or row; the requests of those who come are skipped.
    func nextCommand() async -> ReplicationCommand? {
        while let event = await next() {
            if case .command(let command) = event, command != .replicate { return command }
        }
        return nil
    }

    func nextCommands(_ count: Int) async -> [ReplicationCommand] {
        var commands: [ReplicationCommand] = []
        while commands.count < count, let command = await nextCommand() { commands.append(command) }
        return commands
    }

    func waitForReplicate() async {
        while let event = await next() {
            if case .command(.replicate) = event { return }
        }
    }

    func send(_ commands: ReplicationCommand...) { connection.send(commands) }
}

extension UnixSocketTransport {
    /// One whose warnings, which tests bring about on purpose, do not fill the output.
    static func quiet(
        _ folder: String, _ configuration: UnixSocketConfiguration = UnixSocketConfiguration()
    ) -> UnixSocketTransport {
        UnixSocketTransport(
            directory: folder, configuration: configuration,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }
}

func position(_ instance: InstanceName, _ position: StreamID) -> ReplicationCommand {
    .position(
        ReplicationPosition(stream: "events", writer: Writer(instance, epoch: 1), previous: position, new: position))
}

func row(_ id: StreamID?, bytes: Int = 1) throws -> ReplicationCommand {
    let text = try JSONText(validating: "\"\(String(repeating: "x", count: bytes))\"")
    return .rdata(
        ReplicationRow(
            stream: "events", writer: Writer("p1", epoch: 1), token: id.map { .id($0) } ?? .batch, row: text))
}

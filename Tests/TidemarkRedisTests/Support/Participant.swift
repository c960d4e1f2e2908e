import Logging
import Synchronization
import Tidemark
import TidemarkRedis
import TidemarkTesting

/// An instance with a transport of its own, as in a process of its own, and what it hears.
final class Participant {
    let transport: RedisTransport
    let connection: any ReplicationConnection
    private var events: AsyncStream<ReplicationEvent>.Iterator

    init(_ name: InstanceName, on transport: RedisTransport) async throws {
        let (stream, continuation) = AsyncStream.makeStream(of: ReplicationEvent.self)
        self.transport = transport
        events = stream.makeAsyncIterator()
        connection = try await transport.connect(as: name) { continuation.yield($0) }
    }

    /// Returns when it is subscribed.
    convenience init(
        _ name: InstanceName, at server: RedisServerProcess, channel: String = "c",
        configuration: RedisConfiguration = RedisConfiguration()
    ) async throws {
        let url = "redis://127.0.0.1:\(server.port)/\(channel)"
        try await self.init(name, on: try .quiet(url, configuration))
        await waitUntilConnected()
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

    /// The next command, the requests of those who come left out.
    func nextCommand() async -> ReplicationCommand? {
        while let event = await next() {
            if case .command(let command) = event, command != .replicate { return command }
        }
        return nil
    }

    func waitForReplicate() async {
        while let event = await next() {
            if case .command(.replicate) = event { return }
        }
    }

    func send(_ commands: ReplicationCommand...) { connection.send(commands) }
}

extension RedisTransport {
    /// One whose warnings, which tests bring about on purpose, do not fill the output.
    static func quiet(
        _ url: String, _ configuration: RedisConfiguration = RedisConfiguration()
    ) throws -> RedisTransport {
        try RedisTransport(
            url, configuration: configuration, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }
}

func position(_ writer: String, _ position: StreamID) throws -> ReplicationCommand {
    .position(
        ReplicationPosition(
            stream: "events", writer: try Writer(parsing: writer), previous: position, new: position))
}

func task(_ text: String) throws -> ReplicationCommand { .newActiveTask(try SimpleText(validating: text)) }

import Logging
import Testing
import Tidemark

@testable import TidemarkReplication

/// An instance with a transport of its own, as in a process of its own, and what it hears.
final class LinkedInstance<Transport: ReplicationTransport> {
    let transport: Transport
    let connection: any ReplicationConnection
    private var events: AsyncStream<ReplicationEvent>.Iterator

    init(_ name: InstanceName, on transport: Transport) async throws {
        let (stream, continuation) = AsyncStream.makeStream(of: ReplicationEvent.self)
        self.transport = transport
        events = stream.makeAsyncIterator()
        connection = try await transport.connect(as: name) { continuation.yield($0) }
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

typealias TestInstance = LinkedInstance<UnixSocketTransport>
typealias TCPInstance = LinkedInstance<TCPTransport>

extension LinkedInstance where Transport == UnixSocketTransport {
    convenience init(
        _ name: InstanceName, in folder: String, configuration: SocketConfiguration = SocketConfiguration()
    ) async throws {
        try await self.init(name, on: .quiet(folder, configuration))
    }
}

extension TCPTransport {
    /// One at 127.0.0.1 whose warnings do not fill the output.
    static func quiet(
        host: String = "127.0.0.1", port: Int, _ change: (inout TCPConfiguration) -> Void = { _ in }
    ) throws -> TCPTransport {
        var configuration = TCPConfiguration()
        configuration.delays = Backoff(shortest: .milliseconds(10), longest: .seconds(1))
        change(&configuration)
        return try TCPTransport(
            host: host, port: port, configuration: configuration,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }
}

extension LinkedInstance where Transport == TCPTransport {
    /// A server at a port that the system chose, which it tells.
    static func server(
        _ name: InstanceName, host: String = "127.0.0.1", _ change: (inout TCPConfiguration) -> Void = { _ in }
    ) async throws -> (server: TCPInstance, port: Int) {
        let transport = try TCPTransport.quiet(host: host, port: 0) { configuration in
            configuration.role = .server
            change(&configuration)
        }
        let server = try await TCPInstance(name, on: transport)
        await server.waitUntilConnected()
        return (server, try #require(await transport.servedPort))
    }
}

extension UnixSocketTransport {
    /// One whose warnings, which tests bring about on purpose, do not fill the output.
    static func quiet(
        _ folder: String, _ configuration: SocketConfiguration = SocketConfiguration()
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

import Tidemark

/// An instance with a transport of its own, as in a process of its own, and what it hears.
public final class LinkedInstance<Transport: ReplicationTransport> {
    public let transport: Transport
    public let connection: any ReplicationConnection
    private var events: AsyncStream<ReplicationEvent>.Iterator

    public init(_ name: InstanceName, on transport: Transport) async throws {
        let (stream, continuation) = AsyncStream.makeStream(of: ReplicationEvent.self)
        self.transport = transport
        events = stream.makeAsyncIterator()
        connection = try await transport.connect(as: name) { continuation.yield($0) }
    }

    public func next() async -> ReplicationEvent? { await events.next() }

    /// - Throws: ``HeardNoMore``, where nothing more is heard and it is not connected.
    public func waitUntilConnected() async throws {
        while let event = await next() {
            if case .connected = event { return }
        }
        throw HeardNoMore()
    }

    public func waitUntilDisconnected() async -> String? {
        while let event = await next() {
            if case .disconnected(let reason) = event { return reason }
        }
        return nil
    }

    /// The next command; the requests of those who come are skipped.
    public func nextCommand() async -> ReplicationCommand? {
        while let event = await next() {
            if case .command(let command) = event, command != .replicate { return command }
        }
        return nil
    }

    public func nextCommands(_ count: Int) async -> [ReplicationCommand] {
        var commands: [ReplicationCommand] = []
        while commands.count < count, let command = await nextCommand() { commands.append(command) }
        return commands
    }

    /// - Throws: ``HeardNoMore``, where nothing more is heard and nobody has asked.
    public func waitForReplicate() async throws {
        while let event = await next() {
            if case .command(.replicate) = event { return }
        }
        throw HeardNoMore()
    }

    public func send(_ commands: ReplicationCommand...) { connection.send(commands) }
}

/// Nothing more comes from a transport, and what was waited for has not come.
public struct HeardNoMore: Error {}

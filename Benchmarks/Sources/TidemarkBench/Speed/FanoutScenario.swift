import Synchronization
import Tidemark
import TidemarkReplication

/// How many lines a second one server brings to 32 clients over TCP, in all. Server and clients are in this process, so
/// that reading and parsing 32 times is part of the time.
struct FanoutScenario {
    static let clients = 32
    /// Lines that may be on their way to a client: fewer than what a server keeps for one that is slow.
    private static let window = 8_000
    private static let together = 500
    let options: BenchOptions

    func run(into report: inout Report) async throws {
        let server = try Self.transport(port: 0, role: .server)
        let link = Link()
        let connection = try await server.connect(as: "server") { link.received($0) }
        try await link.connected()
        guard let port = await server.servedPort else { throw Failure("the server has no port") }
        var links: [Link] = []
        var connections: [any ReplicationConnection] = []
        for number in 0..<Self.clients {
            let link = Link()
            let name = try InstanceName(validating: "client\(number)")
            connections.append(
                try await Self.transport(port: port, role: .client).connect(as: name) { link.received($0) })
            try await link.connected()
            links.append(link)
        }
        let seconds = try await measure(links, from: connection)
        for connection in connections + [connection] { await connection.close() }
        report.set("replication.fanout32.lines_per_s", Double(lines * Self.clients) / seconds)
        report.set("replication.fanout32.dropped", Double(server.counts.droppedCommands + server.counts.slowPeers))
    }

    private var lines: Int { options.seconds * 10_000 }

    /// The seconds until every client has heard every line.
    private func measure(_ links: [Link], from connection: any ReplicationConnection) async throws -> Double {
        let writer = Writer("p1", epoch: 1)
        let limit = MonotonicTime.now + 60_000_000_000
        let start = MonotonicTime.now
        var sent = 0
        while links.contains(where: { $0.count < lines }) {
            guard MonotonicTime.now < limit else { throw Failure("the clients do not hear everything") }
            let slowest = links.map(\.count).min() ?? 0
            guard sent < lines, sent - slowest <= Self.window else {
                // The window is full: about as long as a part of it takes to be heard.
                try await Task.sleep(for: .microseconds(200))
                continue
            }
            let ids = sent + 1...sent + Self.together
            connection.send(
                ids.map { id in
                    let position = StreamID(Int64(id))
                    return .position(
                        ReplicationPosition(stream: "events", writer: writer, previous: position, new: position))
                })
            sent += Self.together
        }
        return Double(MonotonicTime.now - start) / 1e9
    }

    private static func transport(port: Int, role: TCPConfiguration.Role) throws -> TCPTransport {
        var configuration = TCPConfiguration()
        configuration.role = role
        return try TCPTransport(host: "127.0.0.1", port: port, configuration: configuration)
    }

    /// What one participant has heard.
    private final class Link: Sendable {
        private let positions = Atomic(0)
        private let isConnected = Atomic(false)

        var count: Int { positions.load(ordering: .relaxed) }

        func received(_ event: ReplicationEvent) {
            switch event {
            case .connected: isConnected.store(true, ordering: .releasing)
            case .command(.position): positions.add(1, ordering: .relaxed)
            default: break
            }
        }

        /// Asks again and again: it is before anything is measured.
        func connected() async throws {
            let deadline = ContinuousClock.now + .seconds(30)
            while !isConnected.load(ordering: .acquiring) {
                guard ContinuousClock.now < deadline else { throw Failure("a client does not connect") }
                try await Task.sleep(for: .milliseconds(1))
            }
        }
    }
}

import Foundation
import TestSupport
import Testing
import Tidemark

@testable import TidemarkReplication

/// Clients that have not said who they are: they hear nothing, say nothing, and cost little.
@Suite(.timeLimit(.minutes(1))) struct UnnamedPeerTests {
    private let temporary: TemporaryFolder

    init() throws { temporary = try TemporaryFolder() }

    /// What a browser sends to a port for a page that has it post a text of the page's choice.
    private static let post = "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n\nNAME p9\nPOSITION events p9#1 9 9\n"

    @Test(arguments: [
        post, "\nNAME p9\nPOSITION events p9#1 9 9\n", "POSITION events p9#1 9 9\n", "REPLICATE\n",
        "NAME / HTTP/1.1\r\n\nPOSITION events p9#1 9 9\n",
    ])
    func `a first line that is no name ends the connection and nothing of it is heard`(text: String) async throws {
        let (server, port) = try await TCPInstance.server("p1")
        let peer = try HandMadePeer.client(port: port)
        peer.write(text)
        #expect(await peer.read().contains("ERROR the first line of a client has to be NAME\n"))
        #expect(server.transport.counts.unnamedPeers == 1)
        let client = try HandMadePeer.client(port: port)
        client.write("NAME p2\nPOSITION events p2#1 2 2\n")
        #expect(await server.nextCommand() == position("p2", 2))
        await server.connection.close()
    }

    @Test func `on a Unix socket the first line is a name too`() async throws {
        let server = try await TestInstance("p1", in: temporary.exchange)
        try await server.waitUntilConnected()
        let peer = try #require(try HandMadePeer.client(in: temporary.exchange))
        peer.write("REPLICATE\n")
        #expect(await peer.read().contains("ERROR the first line of a client has to be NAME\n"))
        await server.connection.close()
    }

    @Test func `who has not said who he is hears nothing of what others say`() async throws {
        let (server, port) = try await TCPInstance.server("p1")
        let silent = try HandMadePeer.client(port: port)
        server.send(position("p1", 1))
        let named = try HandMadePeer.client(port: port)
        named.write("NAME p2\nPOSITION events p2#1 2 2\n")
        #expect(await server.nextCommand() == position("p2", 2))
        server.send(position("p1", 3))
        #expect(await named.read(until: "p1#1 3 3\n").contains("POSITION events p1#1 3 3\n"))
        silent.write("NAME p3\nPOSITION events p3#1 3 3\n")
        #expect(await server.nextCommand() == position("p3", 3))
        server.send(position("p1", 4))
        let heard = await silent.read(until: "p1#1 4 4\n")
        #expect(heard.hasPrefix("SERVER tidemark\n"))
        #expect(!heard.contains("p1#1 1 1") && !heard.contains("p2#1 2 2") && !heard.contains("p1#1 3 3"))
        await server.connection.close()
    }

    @Test func `who does not say who he is in time is disconnected`() async throws {
        let (server, port) = try await TCPInstance.server("p1") { $0.socket.greetingLimit = .milliseconds(100) }
        let silent = try HandMadePeer.client(port: port)
        // It ends.
        _ = await silent.read()
        #expect(server.transport.counts.unnamedPeers == 1)
        await server.connection.close()
    }

    @Test func `of those who do not say who they are one makes room, and never the newest`() async throws {
        let (server, port) = try await TCPInstance.server("p1") { configuration in
            configuration.socket.unnamedPeers = 3
            configuration.socket.greetingLimit = .seconds(3_600)
        }
        var silent: [HandMadePeer] = []
        for _ in 0..<5 { silent.append(try HandMadePeer.client(port: port)) }
        try await eventually { server.transport.counts.unnamedPeers == 2 }
        silent[4].write("NAME p5\nPOSITION events p5#1 5 5\n")
        #expect(await server.nextCommand() == position("p5", 5))
        await server.connection.close()
    }

    /// As the oldest of the unnamed it would be disconnected at each of its attempts.
    @Test func `a client that is slow to say its name gets in while silent ones go on coming from its address`()
        async throws
    {
        let (server, port) = try await TCPInstance.server("p1") { $0.socket.greetingLimit = .seconds(3_600) }
        var silent: [HandMadePeer] = []
        var attempts = 0
        var isIn = false
        // Each attempt fails with a probability of 0.79.
        while !isIn, attempts < 100 {
            attempts += 1
            let honest = try HandMadePeer.client(port: port)
            for _ in 0..<200 { silent.append(try HandMadePeer.client(port: port)) }
            silent.removeFirst(silent.count - 200)
            honest.write("NAME p2\nPOSITION events p2#1 2 2\n")
            isIn = await honest.read(until: "SERVER tidemark\n").contains("SERVER tidemark\n")
        }
        #expect(isIn, "not within \(attempts) attempts")
        #expect(await server.nextCommand() == position("p2", 2))
        await server.connection.close()
    }

    // MARK: TLS

    private func server(_ change: @escaping (inout TCPConfiguration) -> Void) async throws
        -> (server: TCPInstance, port: Int, certificates: TestCertificates)
    {
        let certificates = try TestCertificates(in: temporary.path, authority: "ours")
        let files = try certificates.files(for: "p1")
        let (server, port) = try await TCPInstance.server("p1") { configuration in
            configuration.tls = files
            change(&configuration)
        }
        return (server, port, certificates)
    }

    @Test func `silent sockets without a certificate do not keep those out who have one`() async throws {
        let (server, port, certificates) = try await server { configuration in
            configuration.socket.unnamedPeers = 2
            configuration.socket.greetingLimit = .seconds(3_600)
        }
        var silent: [HandMadePeer] = []
        for _ in 0..<8 { silent.append(try HandMadePeer.client(port: port)) }
        try await eventually { server.transport.counts.unnamedPeers == 6 }
        // What is said now goes to nobody, and into nobody's memory.
        for number in 1...100 { server.send(try row(StreamID(Int64(number)), bytes: 8000)) }
        let files = try certificates.files(for: "p2")
        let client = try await TCPInstance(
            "p2",
            on: .quiet(port: port) { configuration in
                configuration.role = .client
                configuration.tls = files
            })
        try await client.waitUntilConnected()
        client.send(position("p2", 1))
        #expect(await server.nextCommand() == position("p2", 1))
        #expect(server.transport.counts.slowPeers == 0)
        for instance in [client, server] { await instance.connection.close() }
    }

    @Test func `who never begins the handshake is disconnected`() async throws {
        let (server, port, _) = try await server { $0.socket.greetingLimit = .milliseconds(100) }
        let silent = try HandMadePeer.client(port: port)
        _ = await silent.read()
        #expect(server.transport.counts.unnamedPeers == 1)
        await server.connection.close()
    }
}

import Foundation
import TestSupport
import Testing
import Tidemark

@testable import TidemarkReplication

@Suite(.timeLimit(.minutes(1))) struct TCPTransportTests {
    private func client(
        _ name: InstanceName, port: Int, _ change: (inout TCPConfiguration) -> Void = { _ in }
    ) async throws -> TCPInstance {
        try await TCPInstance(
            name,
            on: .quiet(port: port) { configuration in
                configuration.role = .client
                change(&configuration)
            })
    }

    private func close(_ instances: TCPInstance...) async {
        for instance in instances { await instance.connection.close() }
    }

    @Test func `what one sends the others receive once and itself does not`() async throws {
        let (server, port) = try await TCPInstance.server("p1")
        let second = try await client("p2", port: port)
        try await second.waitUntilConnected()
        let third = try await client("p3", port: port)
        try await third.waitUntilConnected()
        let all = [server, second, third]
        // The second was there before, and so has heard the third come.
        try await second.waitForReplicate()
        for (index, sender) in all.enumerated() {
            let sent = position("p1", StreamID(Int64(index + 1)))
            sender.send(sent)
            // The next sender hears it first, so nothing can be heard out of turn, an echo included.
            for other in all where other !== sender { #expect(await other.nextCommand() == sent) }
        }
        await close(server, second, third)
    }

    @Test func `the first process at an address serves and another one takes its place`() async throws {
        let (free, port) = try await TCPInstance.server("p0")
        await close(free)
        let first = try await TCPInstance("p1", on: .quiet(port: port))
        try await first.waitUntilConnected()
        let second = try await TCPInstance("p2", on: .quiet(port: port))
        try await second.waitUntilConnected()
        #expect(await first.transport.servedPort == port)
        #expect(await second.transport.servedPort == nil)
        second.send(position("p2", 1))
        #expect(await first.nextCommand() == position("p2", 1))

        await close(first)
        #expect(await second.waitUntilDisconnected() != nil)
        try await second.waitUntilConnected()
        #expect(await second.transport.servedPort == port)
        let third = try await TCPInstance("p3", on: .quiet(port: port))
        try await third.waitUntilConnected()
        third.send(position("p3", 1))
        #expect(await second.nextCommand() == position("p3", 1))
        await close(second, third)
    }

    @Test func `a server that is started again is found again`() async throws {
        let (first, port) = try await TCPInstance.server("p1")
        let client = try await client("p2", port: port)
        try await client.waitUntilConnected()
        await close(first)
        #expect(await client.waitUntilDisconnected() != nil)
        let second = try await TCPInstance("p1", on: .quiet(port: port) { $0.role = .server })
        try await client.waitUntilConnected()
        second.send(position("p1", 2))
        #expect(await client.nextCommand() == position("p1", 2))
        await close(client, second)
    }

    @Test func `clients that expect another name back off with a typed error`() async throws {
        let (server, port) = try await TCPInstance.server("p1")
        let wrong = try SimpleText(validating: "another")
        let clients = [
            try await client("p2", port: port) { $0.serverName = wrong },
            try await client("p3", port: port) { $0.serverName = wrong },
        ]
        let problem = SocketProblem.wrongServerName(expected: "another", found: "tidemark")
        for client in clients {
            try await eventually { client.transport.counts.connectionAttempts >= 3 }
            #expect(client.transport.lastProblem == problem)
        }
        // Those that expect the right one are not bothered.
        let right = try await client("p4", port: port)
        try await right.waitUntilConnected()
        right.send(position("p4", 1))
        #expect(await server.nextCommand() == position("p4", 1))
        await close(server, right, clients[0], clients[1])
    }

    @Test func `lines typed by hand are heard however silent the typist is`() async throws {
        let (server, port) = try await TCPInstance.server("p1") { $0.socket.silenceLimit = .milliseconds(50) }
        let peer = try HandMadePeer.client(port: port)
        peer.write("NAME typist\n")
        #expect(await peer.read(until: "PING").hasPrefix("SERVER tidemark\n"))
        // Another peer says PING, and is dropped for its silence; this one does not, and stays.
        let silent = try HandMadePeer.client(port: port)
        silent.write("NAME silent\nPING 1\n")
        _ = await silent.read()
        peer.write("POSITION events p9#1 4 4\n")
        #expect(await server.nextCommand() == position("p9", 4))
        await close(server)
    }

    @Test func `a peer that reads too slowly is cut off with a reason`() async throws {
        let (server, port) = try await TCPInstance.server("p1") { $0.socket.unsentLimit = 256 * 1024 }
        let slow = try HandMadePeer.client(port: port)
        slow.write("NAME slow\u{1B}[2J\nPOSITION events p9#1 4 4\n")
        #expect(await server.nextCommand() == position("p9", 4))
        var sent: Int64 = 0
        while server.transport.counts.slowPeers == 0, sent < 100_000 {
            sent += 1
            server.send(try row(StreamID(sent), bytes: 8000))
            await Task.yield()
        }
        #expect(server.transport.counts.slowPeers == 1)
        #expect(await slow.read().contains("ERROR slow\\u{1B}[2J reads too slowly"))
        await close(server)
    }

    @Test func `without TLS only loopback is used`() async throws {
        for host in ["0.0.0.0", "192.0.2.1", "::"] {
            let transport = try TCPTransport.quiet(host: host, port: 0)
            await #expect(throws: TCPTransportError.tlsRequired(host: host, address: host)) {
                _ = try await transport.connect(as: "p1") { _ in }
            }
        }
        #expect(throws: TCPTransportError.invalidPort(65536)) { try TCPTransport.quiet(port: 65536) }
    }
}

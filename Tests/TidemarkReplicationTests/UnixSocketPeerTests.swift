import Foundation
import Logging
import TestSupport
import Testing
import Tidemark

@testable import TidemarkReplication

/// How a transport gets along with peers that are slow, silent, wrong or typed by hand.
@Suite(.timeLimit(.minutes(1))) struct UnixSocketPeerTests {
    private let temporary: TemporaryFolder
    private let folder: String

    init() throws {
        temporary = try TemporaryFolder()
        folder = temporary.exchange
    }

    private func server(_ configuration: SocketConfiguration = SocketConfiguration()) async throws
        -> TestInstance
    {
        let instance = try await TestInstance("p1", in: folder, configuration: configuration)
        try await instance.waitUntilConnected()
        return instance
    }

    @Test func `a server says who it is first to a client that has said so`() async throws {
        let server = try await server()
        let peer = try #require(try HandMadePeer.client(in: folder))
        peer.write("NAME p9\n")
        #expect(await peer.read(until: "\nPING ").hasPrefix("SERVER tidemark\nPING "))
        await server.connection.close()
    }

    @Test func `lines typed by hand are heard`() async throws {
        let server = try await server()
        let peer = try #require(try HandMadePeer.client(in: folder))
        peer.write("NAME typist\n\nPOSITION events p9#1 4 4\n")
        #expect(await server.nextCommand() == position("p9", 4))
        await server.connection.close()
    }

    @Test func `malformed and unknown lines are counted and skipped`() async throws {
        let server = try await server()
        let peer = try #require(try HandMadePeer.client(in: folder))
        peer.write("NAME p9\nPOSITION events p9#1 007 7\nHELLO\n\u{0}\nSERVER tidemark\nPOSITION events p9#1 4 4\n")
        #expect(await server.nextCommand() == position("p9", 4))
        #expect(server.transport.counts.skippedLines == 4)
        await server.connection.close()
    }

    @Test func `what a peer calls itself, and complains of, does nothing to whoever reads the log`() async throws {
        let lines = LogLines()
        let transport = UnixSocketTransport(directory: folder, logger: lines.logger)
        let server = try await TestInstance("p1", on: transport)
        try await server.waitUntilConnected()
        let peer = try #require(try HandMadePeer.client(in: folder))
        peer.write("NAME a\u{1B}[2J\nERROR b\u{1B}[2J\nERROR again\nPOSITION events p9#1 4 4\n")
        #expect(await server.nextCommand() == position("p9", 4))
        let said = lines.lines("a peer reports an error")
        // Once a peer, and then only for those who look for mistakes.
        #expect(said.map(\.level) == [.warning, .debug])
        let values = said.flatMap { $0.metadata.values.map { "\($0)" } }
        #expect(values.contains { $0.contains("b\\u{1B}[2J") } && values.contains { $0.contains("a\\u{1B}[2J") })
        #expect(!values.contains { $0.contains("\u{1B}") })
        await server.connection.close()
    }

    @Test func `malformed lines are not relayed`() async throws {
        let server = try await server()
        let listener = try #require(try HandMadePeer.client(in: folder))
        listener.write("NAME listener\nPOSITION events p8#1 1 1\n")
        #expect(await server.nextCommand() == position("p8", 1))
        let peer = try #require(try HandMadePeer.client(in: folder))
        peer.write("NAME p9\nHELLO\nNAME p9\nPOSITION events p9#1 4 4\n")
        let heard = await listener.read(until: "POSITION events p9#1 4 4\n")
        #expect(!heard.contains("HELLO"))
        #expect(!heard.contains("NAME"))
        await server.connection.close()
    }

    @Test func `a line that is too long ends the connection with a reason`() async throws {
        let server = try await server()
        let peer = try #require(try HandMadePeer.client(in: folder))
        peer.write(String(repeating: "x", count: 17 * 1024))
        #expect(await peer.read().hasSuffix("ERROR a line is longer than 16384 bytes\n"))
        await server.connection.close()
    }

    @Test func `a row that is too long is to be fetched and the next one arrives`() async throws {
        let server = try await server()
        let client = try await TestInstance("p2", in: folder)
        try await client.waitUntilConnected()
        client.send(try row(7, bytes: 20_000), try row(8))
        let replacement = ReplicationPosition(stream: "events", writer: Writer("p1", epoch: 1), previous: 7, new: 0)
        #expect(await server.nextCommand() == .position(replacement))
        #expect(await server.nextCommand() == (try row(8)))
        #expect(client.transport.counts.leftOutCommands == 1)
        await client.connection.close()
        await server.connection.close()
    }

    @Test func `a peer that reads too slowly is cut off`() async throws {
        var configuration = SocketConfiguration()
        configuration.unsentLimit = 256 * 1024
        let server = try await server(configuration)
        let slow = try #require(try HandMadePeer.client(in: folder))
        slow.write("NAME slow\nPOSITION events p9#1 4 4\n")
        #expect(await server.nextCommand() == position("p9", 4))
        let client = try await TestInstance("p2", in: folder)
        try await client.waitUntilConnected()

        var sent: Int64 = 0
        while server.transport.counts.slowPeers == 0, sent < 10_000 {
            sent += 1
            client.send(try row(StreamID(rawValue: sent), bytes: 8000))
            // Heard before the next one is sent: the sender does not outrun the server.
            _ = await server.nextCommand()
        }
        #expect(server.transport.counts.slowPeers == 1)
        server.send(position("p1", 1))
        #expect(await client.nextCommand() == position("p1", 1))
        #expect(await slow.read().contains("ERROR slow reads too slowly"))
        await client.connection.close()
        await server.connection.close()
    }

    /// How soon is in the tests of liveness and elections, which have no clock, and measured by scripts/crash.
    @Test func `a server that falls silent is replaced`() async throws {
        let silent = try HandMadeServer(in: folder)
        let client = try await TestInstance("p1", in: folder)
        let connection = await silent.accept(saying: "SERVER tidemark\nPING 1\n")
        try await client.waitUntilConnected()
        #expect(await client.waitUntilDisconnected()?.contains("has said nothing") == true)
        try await client.waitUntilConnected()
        let newcomer = try await TestInstance("p2", in: folder)
        try await newcomer.waitUntilConnected()
        newcomer.send(position("p2", 1))
        #expect(await client.nextCommand() == position("p2", 1))
        close(connection)
        for instance in [client, newcomer] { await instance.connection.close() }
    }

    @Test func `a server that never says who it is is replaced`() async throws {
        var configuration = SocketConfiguration()
        configuration.silenceLimit = .milliseconds(100)
        let silent = try HandMadeServer(in: folder)
        let client = try await TestInstance("p1", in: folder, configuration: configuration)
        let connection = await silent.accept(saying: "")
        try await client.waitUntilConnected()
        close(connection)
        await client.connection.close()
    }

    @Test func `a server of another name is left`() async throws {
        var configuration = SocketConfiguration()
        // However slow this machine is: it is left for its name and not for its silence.
        configuration.silenceLimit = .seconds(3_600)
        let wrong = try HandMadeServer(in: folder)
        let client = try await TestInstance("p1", in: folder, configuration: configuration)
        for _ in 0..<3 { close(await wrong.accept(saying: "SERVER other\n")) }
        await client.connection.close()
    }

    @Test func `a server that was replaced steps down and follows`() async throws {
        let server = try await server()
        let client = try await TestInstance("p2", in: folder)
        try await client.waitUntilConnected()
        let usurper = try HandMadeServer(in: folder)
        #expect(await server.waitUntilDisconnected() == "another process serves the socket now")
        #expect(await client.waitUntilDisconnected() != nil)
        let connections = [
            await usurper.accept(saying: "SERVER tidemark\n"), await usurper.accept(saying: "SERVER tidemark\n"),
        ]
        try await server.waitUntilConnected()
        try await client.waitUntilConnected()
        connections.forEach { close($0) }
        for instance in [client, server] { await instance.connection.close() }
    }
}

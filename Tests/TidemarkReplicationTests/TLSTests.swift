import Foundation
import NIOCore
import NIOEmbedded
import TestSupport
import Testing
import Tidemark

@testable import TidemarkReplication

@Suite(.timeLimit(.minutes(1))) struct TLSTests {
    private let temporary: TemporaryFolder
    private let ours: TestCertificates

    init() throws {
        temporary = try TemporaryFolder()
        ours = try TestCertificates(in: temporary.path, authority: "ours")
    }

    private func transport(port: Int, _ files: TLSFiles) throws -> TCPTransport {
        try .quiet(port: port) { configuration in
            configuration.role = .client
            configuration.tls = files
        }
    }

    @Test func `instances with certificates of their authority hear each other`() async throws {
        let files = try ours.files(for: "p1")
        // Beyond loopback: every address of this machine.
        let (server, port) = try await TCPInstance.server("p1", host: "0.0.0.0") { $0.tls = files }
        let client = try await TCPInstance("p2", on: transport(port: port, ours.files(for: "p2")))
        try await client.waitUntilConnected()
        client.send(position("p2", 1))
        #expect(await server.nextCommand() == position("p2", 1))
        server.send(position("p1", 2))
        #expect(await client.nextCommand() == position("p1", 2))
        for instance in [client, server] { await instance.connection.close() }
    }

    @Test func `who shows another authoritys certificate is not let in`() async throws {
        let files = try ours.files(for: "p1")
        let (server, port) = try await TCPInstance.server("p1") { $0.tls = files }
        let theirs = try TestCertificates(in: temporary.path, authority: "theirs")
        var strange = try theirs.files(for: "p9")
        strange.trustRoots = files.trustRoots
        let stranger = try await TCPInstance("p9", on: transport(port: port, strange))
        try await eventually { stranger.transport.counts.connectionAttempts >= 3 }
        stranger.send(position("p9", 1))
        // Its line would have come first.
        let client = try await TCPInstance("p2", on: transport(port: port, ours.files(for: "p2")))
        try await client.waitUntilConnected()
        client.send(position("p2", 1))
        #expect(await server.nextCommand() == position("p2", 1))
        #expect(stranger.transport.lastProblem != nil)
        for instance in [stranger, client, server] { await instance.connection.close() }
    }

    @Test func `a server of another authority is not spoken to`() async throws {
        let theirs = try TestCertificates(in: temporary.path, authority: "theirs")
        let strange = try theirs.files(for: "p9")
        let (server, port) = try await TCPInstance.server("p9") { $0.tls = strange }
        let client = try await TCPInstance("p2", on: transport(port: port, ours.files(for: "p2")))
        try await eventually { client.transport.counts.connectionAttempts >= 3 }
        #expect("\(client.transport.lastProblem, default: "")".contains("CERTIFICATE_VERIFY_FAILED"))
        for instance in [client, server] { await instance.connection.close() }
    }

    @Test func `files that are missing are an error at once`() throws {
        let files = TLSFiles(certificateChain: "/nowhere", privateKey: "/nowhere", trustRoots: "/nowhere")
        let error = #expect(throws: TCPTransportError.self) {
            try TCPTransport.quiet(port: 1) { $0.tls = files }
        }
        #expect("\(error, default: "")".hasPrefix("TLS cannot be used"))
    }

    enum Side: CaseIterable {
        case server, client
    }

    //  one side                        the other side
    //  handshake                       handshake
    //                                  is stopped: reads nothing, answers nothing
    //  closes: says farewell
    //  waits, and its clock moves
    //  the connection is closed
    @Test(arguments: Side.allCases)
    func `who closes waits for the farewell of a peer that is stopped no longer than the limit`(side: Side) throws {
        let loop = EmbeddedEventLoop()
        let contexts = try TLSContexts(ours.files(for: "p1"))
        let (server, client) = (EmbeddedChannel(loop: loop), EmbeddedChannel(loop: loop))
        try server.pipeline.syncOperations.addHandler(contexts.serverHandler())
        try client.pipeline.syncOperations.addHandler(contexts.clientHandler(host: "127.0.0.1"))
        // The certificate is compared with the address.
        let address = try SocketAddress(ipAddress: "127.0.0.1", port: 7000)
        for channel in [server, client] { channel.connect(to: address, promise: nil) }
        var hasTalked = true
        while hasTalked {
            hasTalked = false
            for (from, to) in [(client, server), (server, client)] {
                while let bytes = try from.readOutbound(as: ByteBuffer.self) {
                    try to.writeInbound(bytes)
                    hasTalked = true
                }
            }
        }
        // A word arrives: the handshake is over on both sides.
        try client.writeAndFlush(ByteBuffer(string: "word")).wait()
        try server.writeInbound(#require(try client.readOutbound(as: ByteBuffer.self)))
        #expect(try server.readInbound(as: ByteBuffer.self) == ByteBuffer(string: "word"))

        let closing = side == .server ? server : client
        closing.close(promise: nil)
        // What is said is never read.
        #expect(try closing.readOutbound(as: ByteBuffer.self) != nil)
        loop.advanceTime(by: TLSContexts.farewell - .nanoseconds(1))
        #expect(closing.isActive)
        loop.advanceTime(by: .nanoseconds(1))
        #expect(!closing.isActive)
        // A signal ends a program within eight seconds, and its log has to leave in that time.
        #expect(TLSContexts.farewell <= .seconds(1))
    }
}

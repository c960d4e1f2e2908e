import TestSupport
import Logging
import NIOCore
import NIOSSL
import Testing
import Tidemark
import TidemarkTesting

@testable import TidemarkRedis

/// `rediss://`, with certificates that are made for the test.
@Suite(.timeLimit(.minutes(1))) struct RedisTLSTests {
    private let certificates: Certificates

    init() throws { certificates = try Certificates() }

    private func server() async throws -> RedisServerProcess {
        var options = RedisServerProcess.Options()
        options.certificate = certificates.server
        options.password = "secret"
        return try await RedisServerProcess(options)
    }

    private func transport(_ url: String, trusting authority: String?) throws -> RedisTransport {
        var tls = TLSConfiguration.makeClientConfiguration()
        if let authority { tls.trustRoots = .file(authority) }
        var configuration = RedisConfiguration()
        configuration.setUpLimit = .seconds(1)
        return try RedisTransport(
            url, configuration: configuration, tls: tls,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    @Test(arguments: ["127.0.0.1", "localhost"])
    func `commands go over TLS`(host: String) async throws {
        let server = try await server()
        let url = "rediss://:secret@\(host):\(server.port)/c"
        let one = try await RedisInstance("p1", on: transport(url, trusting: certificates.authorityFile))
        try await one.waitUntilConnected()
        let other = try await RedisInstance("p2", on: transport(url, trusting: certificates.authorityFile))
        try await other.waitUntilConnected()
        one.send(try task("a"))
        #expect(try await other.nextCommand() == task("a"))
        await one.connection.close()
        await other.connection.close()
    }

    @Test func `a server that nobody vouches for is not talked to`() async throws {
        let server = try await server()
        let participant = try await RedisInstance(
            "p1", on: transport("rediss://:secret@127.0.0.1:\(server.port)/c", trusting: nil))
        let reason = await participant.waitUntilDisconnected()
        guard case .tlsFailed? = participant.transport.failure else {
            Issue.record("\(String(describing: reason))")
            return
        }
        await participant.connection.close()
    }

    @Test func `a password is not sent to a server that speaks no TLS`() async throws {
        var options = RedisServerProcess.Options()
        options.password = "secret"
        let server = try await RedisServerProcess(options)
        let participant = try await RedisInstance(
            "p1", on: transport("rediss://:secret@127.0.0.1:\(server.port)/c", trusting: certificates.authorityFile))
        // It waits for a whole line, and gets none.
        #expect(await participant.waitUntilDisconnected()?.contains("did not take a subscription") == true)
        await participant.connection.close()
    }

    @Test func `a configuration that cannot be used is a typed error`() async throws {
        let transport = try transport("rediss://127.0.0.1:1/c", trusting: "/nowhere/ca.crt")
        await #expect(throws: RedisError.self) { try await transport.connect(as: "p1") { _ in } }
    }

    /// What the limit does is shown where the other transport with TLS is tested.
    @Test(arguments: [.seconds(5), .milliseconds(100)] as [TimeAmount])
    func `who closes does not wait for the farewell of a server that is stopped`(configured: TimeAmount) {
        var tls = TLSConfiguration.makeClientConfiguration()
        tls.shutdownTimeout = configured
        let limited = RedisTransport.withShortFarewell(tls)
        #expect(limited.shutdownTimeout == min(configured, .milliseconds(250)))
        tls.shutdownTimeout = limited.shutdownTimeout
        #expect(limited.bestEffortEquals(tls))
    }
}

import TestSupport
import Testing
import TidemarkReplication

@testable import TidemarkCLI

@Suite struct TCPOptionTests {
    @Test func `an address is a host and a port`() throws {
        let option = try TCPOption(parsing: "127.0.0.1:7000")
        #expect(option.host == "127.0.0.1" && option.port == 7000 && option.tls == nil)
        #expect(try TCPOption(parsing: "[::1]:7000").host == "::1")
    }

    @Test func `certificates are three files`() throws {
        let option = try TCPOption(parsing: "db.example:7000?certificate=/c.pem&key=/k.pem&trust=/t.pem")
        #expect(option.tls == TLSFiles(certificateChain: "/c.pem", privateKey: "/k.pem", trustRoots: "/t.pem"))
    }

    @Test(arguments: [
        "", "host", "host:", ":7000", "host:0", "host:65536", "host:port", "[]:7000", "host:7000?",
        "host:7000?certificate=/c.pem", "host:7000?certificate=/c.pem&key=/k.pem&roots=/t.pem",
    ])
    func `anything else is refused`(text: String) {
        #expect(throws: (any Error).self) { try TCPOption(parsing: Substring(text)) }
    }

    @Test func `beyond loopback the program asks for TLS`() async throws {
        let folder = try TemporaryFolder()
        let outcome = try await Program.run(
            "ingest", "--database", folder.database, "--instance", "p1", "--replication", "tcp://192.0.2.1:7000")
        #expect(outcome.status == 64)
        #expect(outcome.errors.contains("beyond loopback only with TLS"))
    }
}

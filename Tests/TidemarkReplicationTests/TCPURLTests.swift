import Testing
import TidemarkReplication

@Suite struct TCPURLTests {
    @Test func `an address is a host and a port`() throws {
        let url = try TCPURL(parsing: "tcp://127.0.0.1:7000")
        #expect(url.host == "127.0.0.1" && url.port == 7000 && url.tls == nil)
        #expect(try TCPURL(parsing: "tcp://[::1]:7000").host == "::1")
    }

    @Test func `certificates are three files`() throws {
        let url = try TCPURL(parsing: "tcp://db.example:7000?certificate=/c.pem&key=/k.pem&trust=/t.pem")
        #expect(url.tls == TLSFiles(certificateChain: "/c.pem", privateKey: "/k.pem", trustRoots: "/t.pem"))
    }

    @Test(arguments: [
        "", "host", "host:", ":7000", "host:0", "host:65536", "host:port", "[]:7000", "host:7000?",
        "host:7000?certificate=/c.pem", "host:7000?certificate=/c.pem&key=/k.pem&roots=/t.pem",
    ])
    func `anything else is refused`(text: String) {
        #expect(throws: (any Error).self) { try TCPURL(parsing: "tcp://" + text) }
    }
}

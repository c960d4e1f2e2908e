import Testing

@testable import TidemarkReplication

@Suite struct TCPAddressTests {
    @Test func `an address or localhost is meant for this machine and a name is not`() throws {
        for host in ["127.0.0.1", "::1", "localhost", "LOCALHOST", "a.localhost", "192.0.2.1"] {
            #expect(try TCPAddress(host: host, port: 1).isMeantForThisMachineAlone)
        }
        for host in ["db1", "db1.example.org", "localhost.example.org"] {
            #expect(try !TCPAddress(host: host, port: 1).isMeantForThisMachineAlone)
        }
    }
}

import TidemarkCore
import TidemarkWire
import Testing

@testable import TidemarkReplication

@Suite struct PeerSessionTests {
    private var server = PeerSession(side: .server(named: "tidemark"))
    private var client = PeerSession(side: .client)

    private func command(_ line: String) throws -> ReplicationCommand { try ReplicationCommand(parsing: line) }

    @Test mutating func `a server is greeted by its name`() throws {
        #expect(server.meaning(of: try command("SERVER tidemark")) == .greeted)
        #expect(server.meaning(of: try command("POSITION events p1#1 1 1")) == .command)
    }

    @Test mutating func `a server of another name is refused`() throws {
        let meaning = server.meaning(of: try command("SERVER other"))
        #expect(meaning == .refuse(.wrongServerName(expected: "tidemark", found: "other")))
    }

    @Test mutating func `a server that speaks before its name is refused`() throws {
        let meaning = server.meaning(of: try command("POSITION events p1#1 1 1"))
        #expect(meaning == .refuse(.noServerName))
    }

    @Test(arguments: ["REPLICATE", "POSITION events p1#1 1 1", "PING 1", "ERROR no", "SERVER tidemark"])
    mutating func `a client that speaks before its name is refused`(line: String) throws {
        #expect(client.meaning(of: try command(line)) == .refuse(.noClientName))
        #expect(client.meaningOfUnreadableLine == .refuse(.noClientName))
    }

    @Test mutating func `a client is greeted by its name and may change it`() throws {
        #expect(client.meaning(of: try command("NAME p1")) == .greeted)
        #expect(client.clientName == "p1")
        #expect(client.meaning(of: .replicate) == .command)
        #expect(client.meaning(of: try command("NAME p2")) == .named("p2"))
        #expect(client.meaningOfUnreadableLine == .outOfPlace)
    }

    @Test mutating func `each side says only what is its to say`() throws {
        _ = client.meaning(of: try command("NAME p1"))
        #expect(client.meaning(of: try command("SERVER tidemark")) == .outOfPlace)
        _ = server.meaning(of: try command("SERVER tidemark"))
        #expect(server.meaning(of: try command("SERVER tidemark")) == .outOfPlace)
        #expect(server.meaning(of: try command("NAME p1")) == .outOfPlace)
    }

    @Test mutating func `pings and errors are for the connection itself`() throws {
        _ = client.meaning(of: try command("NAME p1"))
        for var session in [server, client] {
            #expect(session.meaning(of: try command("PING 17")) == .ping)
            #expect(session.meaning(of: try command("ERROR too slow")) == .complaint("too slow"))
        }
    }
}

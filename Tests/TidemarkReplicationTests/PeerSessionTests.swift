import TidemarkCore
import TidemarkWire
import Testing

@testable import TidemarkReplication

@Suite struct PeerSessionTests {
    private var server = PeerSession(side: .server(named: "tidemark"))
    private var client = PeerSession(side: .client)

    private func command(_ line: String) throws -> ReplicationCommand { try ReplicationCommand(parsing: line) }

    @Test mutating func aServerIsGreetedByItsName() throws {
        #expect(server.meaning(of: try command("SERVER tidemark")) == .greeted)
        #expect(server.meaning(of: try command("POSITION events p1#1 1 1")) == .command)
    }

    @Test mutating func aServerOfAnotherNameIsRefused() throws {
        let meaning = server.meaning(of: try command("SERVER other"))
        #expect(meaning == .refuse(.wrongServerName(expected: "tidemark", found: "other")))
    }

    @Test mutating func aServerThatSpeaksBeforeItsNameIsRefused() throws {
        let meaning = server.meaning(of: try command("POSITION events p1#1 1 1"))
        #expect(meaning == .refuse(.noServerName))
    }

    @Test(arguments: ["REPLICATE", "POSITION events p1#1 1 1", "PING 1", "ERROR no", "SERVER tidemark"])
    mutating func aClientThatSpeaksBeforeItsNameIsRefused(line: String) throws {
        #expect(client.meaning(of: try command(line)) == .refuse(.noClientName))
        #expect(client.meaningOfUnreadableLine == .refuse(.noClientName))
    }

    @Test mutating func aClientIsGreetedByItsNameAndMayChangeIt() throws {
        #expect(client.meaning(of: try command("NAME p1")) == .greeted)
        #expect(client.clientName == "p1")
        #expect(client.meaning(of: .replicate) == .command)
        #expect(client.meaning(of: try command("NAME p2")) == .named("p2"))
        #expect(client.meaningOfUnreadableLine == .outOfPlace)
    }

    @Test mutating func eachSideSaysOnlyWhatIsItsToSay() throws {
        _ = client.meaning(of: try command("NAME p1"))
        #expect(client.meaning(of: try command("SERVER tidemark")) == .outOfPlace)
        _ = server.meaning(of: try command("SERVER tidemark"))
        #expect(server.meaning(of: try command("SERVER tidemark")) == .outOfPlace)
        #expect(server.meaning(of: try command("NAME p1")) == .outOfPlace)
    }

    @Test mutating func pingsAndErrorsAreForTheConnectionItself() throws {
        _ = client.meaning(of: try command("NAME p1"))
        for var session in [server, client] {
            #expect(session.meaning(of: try command("PING 17")) == .ping)
            #expect(session.meaning(of: try command("ERROR too slow")) == .complaint("too slow"))
        }
    }
}

import Testing
import TidemarkCore
import TidemarkWire

@Suite struct CommandSenderTests {
    private func kinds(_ sender: CommandSender) -> Set<ReplicationCommand.Kind> {
        Set(ReplicationCommand.Kind.allCases.filter { !$0.mayBeSent(by: sender) })
    }

    @Test func onlyAServerSaysThatItIsOne() {
        #expect(kinds(.client) == [.server])
    }

    @Test func aServerHasNoClientName() {
        #expect(kinds(.server) == [.name])
    }

    @Test func whatConcernsOneConnectionIsNotPublished() {
        #expect(kinds(.publisher) == [.server, .name, .ping, .error])
    }
}

import Testing
import TidemarkCore
import TidemarkWire

@Suite struct CommandSenderTests {
    private func kinds(_ sender: CommandSender) -> Set<ReplicationCommand.Kind> {
        Set(ReplicationCommand.Kind.allCases.filter { !$0.mayBeSent(by: sender) })
    }

    @Test func `only a server says that it is one`() {
        #expect(kinds(.client) == [.server])
    }

    @Test func `a server has no client name`() {
        #expect(kinds(.server) == [.name])
    }

    @Test func `what concerns one connection is not published`() {
        #expect(kinds(.publisher) == [.server, .name, .ping, .error])
    }
}

import NIOCore
import TidemarkCore
import Testing

@testable import TidemarkReplication

@Suite struct RendezvousTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

    private func rendezvous(_ role: TCPConfiguration.Role) -> Rendezvous {
        Rendezvous(role: role, delays: TCPConfiguration().delays, seed: 1)
    }

    private func waits(_ action: Rendezvous.Action) -> Bool {
        if case .wait = action { true } else { false }
    }

    @Test func `it connects first and serves where nobody does`() {
        var either = rendezvous(.either)
        #expect(either.waited() == .connect)
        #expect(either.nobodyServes(now: start) == .serve)
        either.serves()
        #expect(either.isServing)
    }

    @Test func `who cannot serve connects again later`() {
        var either = rendezvous(.either)
        #expect(waits(either.failed(now: start)))
        #expect(either.waited() == .connect)
    }

    @Test func `a client never serves`() {
        var client = rendezvous(.client)
        #expect(client.waited() == .connect)
        #expect(waits(client.nobodyServes(now: start)))
    }

    @Test func `a server never connects`() {
        var server = rendezvous(.server)
        #expect(server.waited() == .serve)
        server.serves()
        #expect(waits(server.lost(now: start)))
        #expect(!server.isServing)
        #expect(server.waited() == .serve)
    }
}

import NIOCore
import TidemarkCore
import Testing

@testable import TidemarkReplication

@Suite struct NewcomersTests {
    private final class Client {
        let origin: ClientOrigin

        init(from origin: ClientOrigin) { self.origin = origin }
    }

    private static func origin(_ number: Int) -> ClientOrigin { .address([10, 0, 0, UInt8(number)]) }

    /// Adds one client, and checks who made room for it.
    private func add(_ client: Client, to newcomers: inout Newcomers<Client>, limit: Int) -> Client? {
        let before = newcomers.all + [client]
        let gone = newcomers.add(client, from: client.origin)
        if before.count <= limit {
            #expect(gone == nil)
            return nil
        }
        func count(_ origin: ClientOrigin) -> Int { before.count { $0.origin == origin } }
        guard let gone else {
            Issue.record("nobody made room")
            return nil
        }
        #expect(gone !== client)
        #expect(count(gone.origin) == before.map { count($0.origin) }.max())
        #expect(
            newcomers.all.map { ObjectIdentifier($0) } == before.filter { $0 !== gone }.map { ObjectIdentifier($0) })
        return gone
    }

    @Test func `in every order of arrivals one of the origin that has most makes room, and never the newest`() {
        for limit in 1...3 {
            for order in 0..<2187 {  // All orders of seven clients from three origins.
                var newcomers = Newcomers<Client>(limit: limit, seed: UInt64(order))
                var rest = order
                for _ in 0..<7 {
                    _ = add(Client(from: Self.origin(rest % 3)), to: &newcomers, limit: limit)
                    rest /= 3
                }
                #expect(newcomers.all.count == limit)
            }
        }
    }

    @Test(arguments: [1, 2, 5, 63])
    func `a client from elsewhere stays however many come`(origins: Int) {
        var random = SplitMix64(seed: UInt64(origins))
        var newcomers = Newcomers<Client>(limit: 128, seed: UInt64(origins))
        // Until there are two of each of the others.
        for _ in 0..<2 {
            for origin in 1...origins {
                _ = newcomers.add(Client(from: Self.origin(origin)), from: Self.origin(origin))
            }
        }
        let honest = Client(from: Self.origin(0))
        #expect(newcomers.add(honest, from: honest.origin) == nil)
        for _ in 0..<1_000 {
            let origin = Self.origin(.random(in: 1...origins, using: &random))
            #expect(newcomers.add(Client(from: origin), from: origin) !== honest)
        }
        #expect(newcomers.remove(honest) == true)
    }

    @Test func `a client from the address of a flood stays with the probability that is documented`() {
        var stayed = 0
        for seed in 0..<1_000 {
            var newcomers = Newcomers<Client>(limit: 16, seed: UInt64(seed))
            let honest = Client(from: .thisMachine)
            _ = newcomers.add(honest, from: .thisMachine)
            // The first 15 find room.
            for _ in 0..<40 { _ = newcomers.add(Client(from: .thisMachine), from: .thisMachine) }
            if newcomers.remove(honest) { stayed += 1 }
        }
        // (15/16)²⁵ is 0.199; the deviation of the count is 13.
        #expect(130...270 ~= stayed, "\(stayed)")
    }

    @Test func `a client that says its name, or goes, leaves room`() {
        var newcomers = Newcomers<Client>(limit: 2, seed: 1)
        let clients = (0..<3).map { Client(from: Self.origin($0)) }
        for client in clients[..<2] { #expect(newcomers.add(client, from: client.origin) == nil) }
        #expect(newcomers.remove(clients[0]) == true)
        #expect(newcomers.remove(clients[0]) == false)
        #expect(newcomers.add(clients[2], from: clients[2].origin) == nil)
        #expect(newcomers.removeAll().map { ObjectIdentifier($0) } == clients[1...].map { ObjectIdentifier($0) })
        #expect(newcomers.all.isEmpty)
    }

    @Test(arguments: [0, -1])
    func `with a limit of none a client has the time until the next one comes`(limit: Int) {
        var newcomers = Newcomers<Client>(limit: limit, seed: 1)
        let clients = (0..<2).map { Client(from: Self.origin($0)) }
        #expect(newcomers.add(clients[0], from: clients[0].origin) == nil)
        #expect(newcomers.add(clients[1], from: clients[1].origin) === clients[0])
    }

    @Test func `whoever has many addresses by nature has one origin`() throws {
        func origin(_ address: String) throws -> ClientOrigin {
            ClientOrigin(try SocketAddress(ipAddress: address, port: 1))
        }
        #expect(try origin("127.0.0.1") == .thisMachine)
        #expect(try origin("127.9.8.7") == .thisMachine)
        #expect(try origin("::1") == .thisMachine)
        #expect(try origin("::ffff:127.0.0.1") == .thisMachine)
        #expect(try ClientOrigin(SocketAddress(unixDomainSocketPath: "/socket")) == .thisMachine)
        #expect(try origin("192.0.2.1") == .address([192, 0, 2, 1]))
        #expect(try origin("::ffff:192.0.2.1") == origin("192.0.2.1"))
        #expect(try origin("192.0.2.1") != origin("192.0.2.2"))
        #expect(try origin("2001:db8::1") == origin("2001:db8::2:3:4:5"))
        #expect(try origin("2001:db8::1") != origin("2001:db8:0:1::1"))
        #expect(ClientOrigin(nil) == .unknown)
    }
}

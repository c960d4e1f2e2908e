import Foundation
import TestSupport
import Testing
import Tidemark

@testable import TidemarkReplication

@Suite(.timeLimit(.minutes(1))) struct UnixSocketTransportTests {
    private let temporary: TemporaryFolder
    private let folder: String

    init() throws {
        temporary = try TemporaryFolder()
        folder = temporary.exchange
    }

    /// Instances that are linked, the first of them the server.
    private func linked(_ names: InstanceName..., in folder: String? = nil) async throws -> [TestInstance] {
        var instances: [TestInstance] = []
        for name in names {
            let instance = try await TestInstance(name, in: folder ?? self.folder)
            try await instance.waitUntilConnected()
            for earlier in instances { try await earlier.waitForReplicate() }
            instances.append(instance)
        }
        return instances
    }

    private func close(_ instances: [TestInstance]) async {
        for instance in instances { await instance.connection.close() }
    }

    @Test func `what one sends the others receive and itself does not`() async throws {
        let all = try await linked("p1", "p2", "p3")
        for (index, sender) in all.enumerated() {
            let sent = position("p1", StreamID(rawValue: Int64(index + 1)))
            sender.send(sent)
            // The next sender hears it first, so nothing can be heard out of turn, an echo included.
            for other in all where other !== sender { #expect(await other.nextCommand() == sent) }
        }
        await close(all)
    }

    @Test func `commands keep their order`() async throws {
        let all = try await linked("p1", "p2", "p3")
        let sent = (1...2000).map { position("p3", StreamID(rawValue: $0)) }
        for command in sent { all[2].send(command) }
        #expect(await all[0].nextCommands(2000) == sent)
        #expect(await all[1].nextCommands(2000) == sent)
        await close(all)
    }

    @Test func `instances of one process hear each other and share a link`() async throws {
        let other = try await linked("p3")
        let transport = UnixSocketTransport.quiet(folder)
        let one = try await TestInstance("p1", on: transport)
        try await one.waitUntilConnected()
        let two = try await TestInstance("p2", on: transport)
        try await two.waitUntilConnected()

        one.send(position("p1", 1))
        #expect(await two.nextCommand() == position("p1", 1))
        #expect(await other[0].nextCommand() == position("p1", 1))
        other[0].send(position("p3", 2))
        #expect(await one.nextCommand() == position("p3", 2))
        #expect(await two.nextCommand() == position("p3", 2))

        await one.connection.close()
        other[0].send(position("p3", 3))
        #expect(await two.nextCommand() == position("p3", 3))
        await close(other + [two])
    }

    @Test func `who comes asks everyone for their positions`() async throws {
        let all = try await linked("p1", "p2", "p3")
        let newcomer = try await TestInstance("p4", on: all[1].transport)
        for instance in all { try await instance.waitForReplicate() }
        await close(all + [newcomer])
    }

    @Test func `when the server goes another takes over`() async throws {
        let all = try await linked("p1", "p2", "p3")
        await all[0].connection.close()
        for instance in all[1...] {
            #expect(await instance.waitUntilDisconnected() != nil)
            try await instance.waitUntilConnected()
        }
        all[1].send(position("p2", 8))
        #expect(await all[2].nextCommand() == position("p2", 8))
        all[2].send(position("p3", 9))
        #expect(await all[1].nextCommand() == position("p3", 9))
        await close(Array(all[1...]))
    }

    @Test func `when many lose the server at once they meet again`() async throws {
        let all = try await linked("p1", "p2", "p3", "p4", "p5", "p6")
        await all[0].connection.close()
        for instance in all[1...] {
            #expect(await instance.waitUntilDisconnected() != nil)
            try await instance.waitUntilConnected()
        }
        // Two may have taken over one after the other; whoever is replaced moves on by itself. So: until heard.
        for instance in all[2...] {
            while true {
                all[1].send(position("p2", 8))
                if await instance.nextCommand() == position("p2", 8) { break }
            }
        }
        await close(Array(all[1...]))
    }

    @Test func `the last one alone goes on`() async throws {
        let all = try await linked("p1", "p2")
        await all[0].connection.close()
        #expect(await all[1].waitUntilDisconnected() != nil)
        try await all[1].waitUntilConnected()
        let newcomer = try await TestInstance("p3", in: folder)
        try await newcomer.waitUntilConnected()
        newcomer.send(position("p3", 1))
        #expect(await all[1].nextCommand() == position("p3", 1))
        await close([all[1], newcomer])
    }

    @Test func `the socket of a crashed process is replaced`() async throws {
        // Bound, and closed without a word: what a crash leaves.
        _ = try HandMadeServer(in: folder)
        let stale = try #require(SocketFolder.socketIdentity(inFolder: folder))
        let all = try await linked("p1", "p2")
        #expect(SocketFolder.socketIdentity(inFolder: folder) != stale)
        all[0].send(position("p1", 1))
        #expect(await all[1].nextCommand() == position("p1", 1))
        await close(all)
    }

    @Test func `a path longer than a sockets address works`() async throws {
        let deep = temporary.path + "/" + String(repeating: "d", count: 200)
        let all = try await linked("p1", "p2", in: deep)
        all[1].send(position("p2", 1))
        #expect(await all[0].nextCommand() == position("p2", 1))
        await close(all)
    }

    @Test func `a transport can be used again`() async throws {
        let transport = UnixSocketTransport.quiet(folder)
        for _ in 0..<3 {
            let instance = try await TestInstance("p1", on: transport)
            try await instance.waitUntilConnected()
            await instance.connection.close()
            await instance.connection.close()
        }
    }

    /// Guards against a link that is on its way out, and is started a second time by who comes then.
    @Test func `who comes while the last one leaves is linked`() async throws {
        let transport = UnixSocketTransport.quiet(folder)
        var current = try await TestInstance("p1", on: transport)
        for _ in 0..<50 {
            let leaving = current.connection
            async let left: Void = leaving.close()
            current = try await TestInstance("p1", on: transport)
            try await current.waitUntilConnected()
            await left
        }
        let other = try await TestInstance("p2", in: folder)
        try await other.waitUntilConnected()
        other.send(position("p2", 1))
        #expect(await current.nextCommand() == position("p2", 1))
        await close([current, other])
    }

    @Test func `a folder that others can enter is an error at once`() async throws {
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o755])
        await #expect(throws: SocketFolderError.self) { try await TestInstance("p1", in: folder) }
    }

    @Test func `a folder that is deleted is made again`() async throws {
        let all = try await linked("p1", "p2")
        try FileManager.default.removeItem(atPath: folder)
        for instance in all {
            #expect(await instance.waitUntilDisconnected() != nil)
            try await instance.waitUntilConnected()
        }
        #expect(SocketFolder.socketIdentity(inFolder: folder) != nil)
        await close(all)
    }

    @Test func `only the socket beside a database belongs to it`() throws {
        let own = try UnixSocketTransport(besideDatabase: temporary.path + "/app.sqlite")
        let others: [any ReplicationTransport] = [UnixSocketTransport.quiet(folder), try TCPTransport.quiet(port: 1)]
        #expect(own.belongsToDatabase)
        #expect(others.allSatisfy { !$0.belongsToDatabase })
    }
}

import TestSupport
import Foundation
import Synchronization
import Testing
import Tidemark
import TidemarkTesting

@testable import TidemarkRedis

/// Servers that refuse, go away, or fall silent.
@Suite(.timeLimit(.minutes(1))) struct RedisFailureTests {
    private func transport(_ url: String) throws -> RedisTransport { try .quiet(url) }

    @Test(arguments: ["u:secret@", ":default@"])
    func `the right password is accepted`(credentials: String) async throws {
        var options = RedisServerProcess.Options()
        options.password = "default"
        options.configuration = ["user u on >secret resetchannels &c +@all"]
        let server = try await RedisServerProcess(options)
        let url = "redis://\(credentials)127.0.0.1:\(server.port)/c"
        let participant = try await RedisInstance("p1", on: transport(url))
        try await participant.waitUntilConnected()
        #expect(participant.transport.failure == nil)
        await participant.connection.close()
    }

    @Test(arguments: [
        ("u:hunter2@", RedisError.Step.authentication), (":hunter2@", .authentication), ("", .subscription),
    ])
    func `a wrong password is a typed error and no tight loop`(credentials: String, step: RedisError.Step) async throws
    {
        var options = RedisServerProcess.Options()
        options.password = "default"
        let server = try await RedisServerProcess(options)
        let log = LogLines()
        let transport = try RedisTransport(
            "redis://\(credentials)127.0.0.1:\(server.port)/c", logger: log.logger)
        let participant = try await RedisInstance("p1", on: transport)
        let reason = try #require(await participant.waitUntilDisconnected())
        guard case .refused(_, step, let answer)? = transport.failure else {
            Issue.record("\(String(describing: transport.failure))")
            return
        }
        #expect(answer.hasPrefix(step == .authentication ? "WRONGPASS" : "NOAUTH"))
        // The second attempt is made after at least a quarter of a second, the third after half of one more.
        let start = ContinuousClock.now
        try await eventually("the third attempt") { transport.counts.failures >= 3 }
        #expect(ContinuousClock.now - start > .milliseconds(700))
        #expect(!(reason + log.text).contains("hunter2") && log.text.contains("127.0.0.1"))
        await participant.connection.close()
    }

    @Test func `who may not publish still hears`() async throws {
        var options = RedisServerProcess.Options()
        options.configuration = ["user reader on >secret resetchannels &c -@all +subscribe +ping"]
        let server = try await RedisServerProcess(options)
        let reader = try await RedisInstance(
            "p1", on: transport("redis://reader:secret@127.0.0.1:\(server.port)/c"))
        try await reader.waitUntilConnected()
        let writer = try await RedisInstance("p2", at: server)
        try await reader.waitForReplicate()
        writer.send(try task("a"))
        #expect(try await reader.nextCommand() == task("a"))
        try await eventually("it is dropped") { reader.transport.counts.droppedCommands >= 1 }
        guard case .refused(_, .publication, _)? = reader.transport.failure else {
            Issue.record("\(String(describing: reader.transport.failure))")
            return
        }
        await reader.connection.close()
        await writer.connection.close()
    }

    @Test func `a server that is not there is tried again until it is`() async throws {
        let server = try await RedisServerProcess()
        server.kill()
        let participant = try await RedisInstance("p1", on: transport("redis://127.0.0.1:\(server.port)/c"))
        #expect(await participant.waitUntilDisconnected()?.contains("cannot be reached: Connection refused") == true)
        try await server.start()
        try await participant.waitUntilConnected()
        await participant.connection.close()
    }

    @Test func `a server that comes back is used again`() async throws {
        let server = try await RedisServerProcess()
        let one = try await RedisInstance("p1", at: server)
        let other = try await RedisInstance("p2", at: server)
        for round in 0..<3 {
            server.kill()
            #expect(await one.waitUntilDisconnected() != nil)
            #expect(await other.waitUntilDisconnected() != nil)
            try await server.start()
            try await one.waitUntilConnected()
            try await other.waitUntilConnected()
            one.send(try task("\(round)"))
            #expect(try await other.nextCommand() == task("\(round)"))
            one.connection.caughtUp()
            other.connection.caughtUp()
        }
        await one.connection.close()
        await other.connection.close()
    }

    @Test func `a server that falls silent is noticed`() async throws {
        let server = try await RedisServerProcess()
        var configuration = RedisConfiguration()
        configuration.pingInterval = .milliseconds(50)
        configuration.silenceLimit = .milliseconds(400)
        let participant = try await RedisInstance("p1", at: server, configuration: configuration)
        server.pause()
        #expect(await participant.waitUntilDisconnected()?.contains("said nothing") == true)
        server.resume()
        try await participant.waitUntilConnected()
        await participant.connection.close()
    }

    @Test func `rows for which a server is too slow are stood for by a position`() async throws {
        let server = try await RedisServerProcess()
        var configuration = RedisConfiguration()
        configuration.unsentLimit = 2000
        // However slow this machine is.
        configuration.silenceLimit = .seconds(3600)
        let sender = try await RedisInstance("p1", at: server, configuration: configuration)
        let receiver = try await RedisInstance("p2", at: server, configuration: configuration)
        server.pause()
        let writer = Writer("p1", epoch: 1)
        for id in 1...1000 {
            sender.send(
                .rdata(ReplicationRow(stream: "s", writer: writer, token: .id(StreamID(Int64(id))), row: .null)))
        }
        #expect(sender.transport.counts.droppedCommands > 0)
        server.resume()
        let missing = ReplicationPosition(stream: "s", writer: writer, previous: 1000, new: 0)
        var heard = 0
        while let command = await receiver.nextCommand(), command != .position(missing) { heard += 1 }
        #expect(heard + sender.transport.counts.droppedCommands >= 1000)
        await sender.connection.close()
        await receiver.connection.close()
    }

    @Test func `what is at the port may be something else`() async throws {
        let server = try await OtherServer(saying: "HTTP/1.1 400 Bad Request\r\n\r\n")
        let participant = try await RedisInstance("p1", on: transport("redis://127.0.0.1:\(server.port)/c"))
        #expect(await participant.waitUntilDisconnected()?.contains("does not answer as a Redis server") == true)
        await participant.connection.close()
    }
}

import TestSupport
import Testing
import Tidemark
import TidemarkTesting

@testable import TidemarkRedis

/// On a real server.
@Suite(.timeLimit(.minutes(1))) struct RedisTransportTests {
    @Test func `what one sends the others hear and itself does not`() async throws {
        let server = try await RedisServerProcess()
        let names: [InstanceName] = ["p1", "p2", "p3"]
        var all: [RedisInstance] = []
        for name in names {
            let participant = try await RedisInstance(name, at: server)
            // Who comes asks everyone for their positions.
            for earlier in all { try await earlier.waitForReplicate() }
            all.append(participant)
        }
        for (index, sender) in all.enumerated() {
            // Not even what says nothing of its sender comes back.
            let sent = [try position("\(names[index])#1", StreamID(rawValue: Int64(index + 1))), try task("t\(index)")]
            sender.connection.send(sent)
            // The next sender hears it first, so nothing can be heard out of turn, an echo included.
            for other in all where other !== sender {
                #expect(await other.nextCommand() == sent[0])
                #expect(await other.nextCommand() == sent[1])
            }
        }
        for participant in all { await participant.connection.close() }
    }

    @Test func `commands keep their order and none is lost`() async throws {
        let server = try await RedisServerProcess()
        let sender = try await RedisInstance("p1", at: server)
        let receiver = try await RedisInstance("p2", at: server)
        let sent = try (1...5000).map { try position("p1#1", StreamID(rawValue: $0)) }
        for start in stride(from: 0, to: sent.count, by: 100) {
            sender.connection.send(Array(sent[start..<start + 100]))
        }
        for command in sent { #expect(await receiver.nextCommand() == command) }
        #expect(sender.transport.counts == RedisCounts())
        await sender.connection.close()
        await receiver.connection.close()
    }

    @Test func `channels are apart`() async throws {
        let server = try await RedisServerProcess()
        let one = try await RedisInstance("p1", at: server, channel: "one")
        let other = try await RedisInstance("p2", at: server, channel: "other")
        let same = try await RedisInstance("p3", at: server, channel: "other")
        try await other.waitForReplicate()
        one.send(try task("a"))
        same.send(try task("b"))
        #expect(try await other.nextCommand() == task("b"))
        for participant in [one, other, same] { await participant.connection.close() }
    }

    @Test func `addresses of users reach only those who listen to them`() async throws {
        let server = try await RedisServerProcess()
        var configuration = RedisConfiguration()
        configuration.hearsUserIP = true
        let sender = try await RedisInstance("p1", at: server, configuration: configuration)
        let curious = try await RedisInstance("p2", at: server, configuration: configuration)
        let other = try await RedisInstance("p3", at: server)
        let seen = ReplicationCommand.userIP(
            UserIP(
                user: try FieldText(validating: "@a:b"), accessToken: "token", ip: "::1", userAgent: "u", device: nil,
                lastSeenMilliseconds: 1))
        sender.send(seen, try task("after"))
        #expect(await curious.nextCommand() == seen)
        #expect(try await curious.nextCommand() == task("after"))
        #expect(try await other.nextCommand() == task("after"))
        curious.send(try task("last"))
        // The sender listens as well, and has not heard itself.
        #expect(try await sender.nextCommand() == task("last"))
        for participant in [sender, curious, other] { await participant.connection.close() }
    }

    @Test func `lines of other software are heard and what is unknown is counted and skipped`() async throws {
        let server = try await RedisServerProcess()
        let listener = try await RedisInstance("p1", at: server)
        let other = try await RawRedis(port: server.port)
        for line in [
            "RDATA events master 5 [\"ev\", 1]", "FROBNICATE 1", "POSITION events", "SERVER example.org", "",
            "POSITION events event_persister-1 3 5", "REMOTE_SERVER_UP example.org",
        ] {
            try await other.publish(line, on: "c")
        }
        var lines: [String] = []
        while lines.count < 3, let command = await listener.nextCommand() { lines.append(command.line) }
        #expect(
            lines == [
                "RDATA events master 5 [\"ev\", 1]", "POSITION events event_persister-1 3 5",
                "REMOTE_SERVER_UP example.org",
            ])
        #expect(listener.transport.counts.skippedLines == 3)
        await listener.connection.close()
    }

    @Test func `what is sent without a connection is dropped and counted`() async throws {
        let server = try await RedisServerProcess()
        let participant = try await RedisInstance("p1", at: server)
        server.kill()
        _ = await participant.waitUntilDisconnected()
        participant.send(try task("a"), try task("b"))
        try await eventually("both are dropped") { participant.transport.counts.droppedCommands >= 2 }
        try await server.start()
        try await participant.waitUntilConnected()
        await participant.connection.close()
    }

    @Test func `a connection that is closed hears nothing more`() async throws {
        let server = try await RedisServerProcess()
        let one = try await RedisInstance("p1", at: server)
        let other = try await RedisInstance("p2", at: server)
        await one.connection.close()
        await one.connection.close()
        one.send(try task("a"))
        let third = try await RedisInstance("p3", at: server)
        third.send(try task("b"))
        #expect(try await other.nextCommand() == task("b"))
        await other.connection.close()
        await third.connection.close()
    }
}

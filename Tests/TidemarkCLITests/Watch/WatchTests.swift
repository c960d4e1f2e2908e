import Foundation
import TestSupport
import Testing
import Tidemark
import TidemarkRedis
import TidemarkTesting

@testable import TidemarkCLI

/// The program on a Redis server to which other software publishes.
@Suite struct WatchTests {
    /// Publishes as `redis-cli` does.
    private func publish(_ line: String, on channel: String, port: Int) throws {
        let client = Process()
        client.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        client.arguments = ["redis-cli", "-p", "\(port)", "publish", channel, line]
        client.standardOutput = FileHandle.nullDevice
        try client.run()
        client.waitUntilExit()
        #expect(client.terminationStatus == 0)
    }

    /// A participant that is there tells when the program is: it asks everyone for their positions.
    private func watching(_ server: RedisServerProcess, _ arguments: String...) async throws -> Program {
        let (asked, continuation) = AsyncStream.makeStream(of: Void.self)
        let connection = try await RedisTransport("redis://127.0.0.1:\(server.port)/example.org").connect(as: "p1") {
            switch $0 {
            case .connected, .command(.replicate): continuation.yield()
            default: break
            }
        }
        var iterator = asked.makeAsyncIterator()
        await iterator.next()
        let program = try Program(
            ["replication", "watch", "--replication", "redis://127.0.0.1:\(server.port)/example.org"] + arguments)
        await iterator.next()
        await connection.close()
        return program
    }

    @Test func `it shows what a homeserver says, and how far its streams are`() async throws {
        let server = try await RedisServerProcess()
        let program = try await watching(server)
        let lines = ["POSITION events event_persister-1 3 5", "REMOTE_SERVER_UP example.org"]
        let row = "RDATA events master 5 [\"ev\",[\"$event\",\"!room:example.org\"]]"
        for line in [row] + lines { try publish(line, on: "example.org", port: server.port) }
        try publish("SOMETHING_NEW 1", on: "example.org", port: server.port)
        try publish(
            "USER_IP @a:b [\"s3cret\",\"192.0.2.1\",\"agent\",\"dev\",1]", on: "example.org/USER_IP", port: server.port)
        let estimate = "# events: estimated minimum 5 (event_persister-1 5, master 5)"
        try await eventually {
            program.lines.contains(estimate) && program.lines.contains { $0.hasPrefix("USER_IP @a:b") }
        }
        program.send(SIGTERM)
        let outcome = try await program.outcome()
        #expect(outcome.status == 0)
        #expect(
            outcome.lines.filter { !$0.hasPrefix("#") && !$0.hasPrefix("USER_IP") }
                == ["RDATA events master 5 (a row of 37 bytes)"] + lines)
        #expect(!outcome.lines.joined().contains("s3cret") && !outcome.errors.contains("s3cret"))
        // What it does not know is named, and counted.
        #expect(outcome.errors.contains("SOMETHING_NEW"))
        #expect(outcome.lines.contains { $0.hasPrefix("# 1 line skipped so far") })
    }

    @Test func `it says when its connection was gone, and is back`() async throws {
        let server = try await RedisServerProcess()
        let program = try await watching(server)
        server.kill()
        try await eventually { program.lines.contains { $0.hasPrefix("# the connection is gone: ") } }
        try await server.start()
        try await eventually { program.lines.contains { $0.hasPrefix("# the connection is back: ") } }
        program.send(SIGTERM)
        #expect(try await program.outcome().status == 0)
    }

    @Test func `as JSON every line is an object`() async throws {
        let server = try await RedisServerProcess()
        let program = try await watching(server, "--json")
        try publish("POSITION events master 4 5", on: "example.org", port: server.port)
        try await program.waitForLines(2)
        program.send(SIGTERM)
        let outcome = try await program.outcome()
        for line in outcome.lines { _ = try JSONText(validating: line) }
        #expect(outcome.lines.contains { $0.contains("\"estimated_minimum\":5") })
    }

    @Test func `it shows what writers say over a Unix socket`() async throws {
        let folder = try TemporaryFolder()
        let socket = folder.path + "/exchange"
        let program = try Program(["replication", "watch", "--replication", "unix:\(socket)"])
        let ingest = try Program([
            "ingest", "--database", folder.database, "--instance", "p1", "--replication", "unix:\(socket)",
        ])
        ingest.write(generatedLines(0..<1)[0])
        try await eventually { program.lines.contains { $0.hasPrefix("# events: estimated minimum") } }
        ingest.endInput()
        #expect(try await ingest.outcome().status == 0)
        program.send(SIGTERM)
        let outcome = try await program.outcome()
        #expect(outcome.status == 0 && outcome.lines.contains { $0.hasPrefix("POSITION events p1#1.") })
        #expect(outcome.errors.contains("there was no folder \(socket)"))
    }

    @Test(arguments: ["auto", "none", "http://h/c", "redis://", "redis://u:hunter2@h:x/c", "redis://h/c?trust=x"])
    func `what nobody can listen to is a wrong call, and is not shown with a password`(way: String) async throws {
        let outcome = try await Program.run("replication", "watch", "--replication", way)
        #expect(outcome.status == 64 && outcome.errorLines.count == 1)
        #expect(!outcome.errors.contains("hunter2"))
    }

    @Test func `a server that refuses the password is named, and the password is not`() async throws {
        var options = RedisServerProcess.Options()
        options.password = "secret"
        let server = try await RedisServerProcess(options)
        let program = try Program([
            "replication", "watch", "--replication", "redis://:hunter2@127.0.0.1:\(server.port)/c",
        ])
        try await eventually { program.errors.contains("WRONGPASS") }
        program.send(SIGTERM)
        let outcome = try await program.outcome()
        #expect(outcome.status == 0 && !outcome.errors.contains("hunter2"))
    }

    @Test func `two writers and a reader hear each other over Redis`() async throws {
        let server = try await RedisServerProcess()
        let folder = try TemporaryFolder()
        let url = "redis://127.0.0.1:\(server.port)/example.org"
        let tail = try Program(["tail", "--database", folder.database, "--follow", "--replication", url])
        let writers = try ["p1", "p2"].map {
            try Program(["ingest", "--database", folder.database, "--instance", $0, "--replication", url])
        }
        for (number, line) in generatedLines(0..<20).enumerated() { writers[number % 2].write(line) }
        try await tail.waitForLines(20)
        for writer in writers {
            writer.endInput()
            #expect(try await writer.outcome().status == 0)
        }
        tail.send(SIGTERM)
        #expect(try await tail.outcome().status == 0)
    }
}

import Foundation
import GRDB
import TestSupport
import Testing

@Suite struct ConsumerTests {
    private func ingest(_ numbers: Range<Int>, _ folder: TemporaryFolder) async throws {
        let ingest = ["ingest", "--database", folder.database, "--instance", "p1"]
        #expect(try await Program.run(ingest, input: bytes(generatedLines(numbers))).status == 0)
    }

    private func consumer(_ arguments: String..., in folder: TemporaryFolder) async throws -> Outcome {
        try await Program.run(["consumer"] + arguments + ["--database", folder.database])
    }

    private func tail(_ folder: TemporaryFolder) async throws -> Outcome {
        try await Program.run(["tail", "--consumer", "mailer", "--database", folder.database])
    }

    @Test func `consumers are listed with their place, and moved by hand`() async throws {
        let folder = try TemporaryFolder()
        try await ingest(0..<5, folder)
        #expect(try await consumer("list", in: folder).text == "stream events has no consumers\n")
        #expect(try await tail(folder).lines.count == 5)
        try await ingest(5..<8, folder)
        let list = try await consumer("list", "--json", in: folder)
        #expect(list.status == 0 && list.lines.count == 1)
        #expect(
            list.text.hasPrefix("{\"stream\":\"events\",\"consumers\":[{\"name\":\"mailer\",\"position\":5,\"lag\":3,"))
        #expect(list.text.hasSuffix("\"in_use\":false,\"process\":null}]}\n"))
        let table = try await consumer("list", in: folder)
        #expect(table.lines.count == 2 && table.lines[0].hasPrefix("CONSUMER  POSITION  LAG  MOVED"))
        let move = try await consumer("move", "mailer", "--to", "beginning", in: folder)
        #expect(move.text == "moved consumer mailer of stream events: it goes on after 0\n")
        #expect(try await tail(folder).lines.count == 8)
        #expect(try await consumer("move", "mailer", "--to", "6", in: folder).status == 0)
        #expect(try await tail(folder).lines.count == 2)
        #expect(try await consumer("move", "mailer", "--to", "end", in: folder).status == 0)
        #expect(try await tail(folder).lines.isEmpty)
    }

    @Test(arguments: [("mailer", "9", 65), ("post", "end", 69), ("mailer", "soon", 64), ("mailer", "-1", 64)])
    func `a place that is none, or a consumer that is not there, is an error`(
        name: String, place: String, status: Int32
    ) async throws {
        let folder = try TemporaryFolder()
        try await ingest(0..<5, folder)
        _ = try await tail(folder)
        let move = try await consumer("move", name, "--to=\(place)", in: folder)
        #expect(move.status == status && move.errorLines.count == 1 && move.output.isEmpty)
    }

    @Test func `after a restore the answer is the same until the consumer is moved`() async throws {
        let folder = try TemporaryFolder()
        try await ingest(0..<5, folder)
        _ = try await tail(folder)
        let another = try DatabaseQueue(path: folder.database)
        try await another.write {
            try $0.execute(sql: "UPDATE tidemark_events SET commit_number = commit_number - 1 WHERE stream_id = 5")
        }
        try await ingest(5..<8, folder)
        for _ in 0..<2 {
            let outcome = try await tail(folder)
            #expect(outcome.status == 69 && outcome.output.isEmpty)
            #expect(outcome.errors.contains("restored") && outcome.errors.contains("tidemark consumer move"))
        }
        #expect(try await consumer("move", "mailer", "--to", "5", in: folder).status == 0)
        #expect(try await tail(folder).lines.count == 3)
    }

    @Test func `a stream that is not there is answered with those that are`() async throws {
        let folder = try TemporaryFolder()
        try await ingest(0..<1, folder)
        for arguments in [["list"], ["move", "mailer", "--to", "end"]] {
            let program = try Program(
                ["consumer"] + arguments + ["--database", folder.database, "--stream", "evnets"])
            let outcome = try await program.outcome()
            #expect(outcome.status == 69 && outcome.errors.contains("no stream named evnets; there is events"))
        }
    }

    @Test func `a consumer that a process reads under is not taken over unless that is said`() async throws {
        let folder = try TemporaryFolder()
        try await ingest(0..<5, folder)
        let call = ["tail", "--consumer", "mailer", "--follow", "--database", folder.database]
        let first = try Program(call)
        try await first.waitForLines(5)
        let second = try await tail(folder)
        #expect(second.status == 75 && second.output.isEmpty)
        #expect(second.errors.contains("in use by process") && second.errors.contains("--take-over"))
        #expect(try await consumer("list", in: folder).text.contains("process "))
        try await eventually("the checkpoint") {
            try await consumer("list", "--json", in: folder).text.contains("\"lag\":0")
        }
        let third = try Program(call + ["--take-over"])
        let outcome = try await first.outcome()
        #expect(outcome.status == 75 && outcome.errors.contains("taken over consumer mailer"))
        try await ingest(5..<6, folder)
        try await third.waitForLines(1)
        third.send(SIGTERM)
        #expect(try await third.outcome().status == 0)
    }

    @Test func `a consumer begins where it is told, is given what its filter lets pass, and is deleted`() async throws {
        let folder = try TemporaryFolder()
        let lines = ["a", "b", "c"].enumerated().map { index, type in
            "{\"id\":\"\(index)\",\"type\":\"\(type)\",\"key\":\"shop/\(index)\"}"
        }
        let ingest = ["ingest", "--database", folder.database, "--instance", "p1"]
        #expect(try await Program.run(ingest, input: bytes(lines)).status == 0)
        func tail(_ arguments: String...) async throws -> Outcome {
            try await Program.run(["tail", "--database", folder.database] + arguments)
        }
        let new = ["--consumer", "mailer", "--from", "1", "--type", "a", "--type", "c", "--key-prefix", "shop/"]
        let first = try await Program.run(["tail", "--database", folder.database] + new)
        #expect(first.status == 0 && first.lines.count == 1 && first.text.contains("\"stream_id\":3"))
        // It is there with that filter, and has gone on.
        let other = try await tail("--consumer", "mailer")
        #expect(other.status == 65 && other.errors.contains("type \"a\", \"c\", and keys that begin with \"shop/\""))
        #expect(
            try await tail("--consumer", "mailer", "--type", "a", "--type", "c", "--key-prefix", "shop/").lines.isEmpty)
        let list = try await consumer("list", "--json", in: folder)
        #expect(list.text.contains("\"position\":3,\"lag\":0,") && list.text.contains("\"start\":1,\"filter\":\"type "))
        #expect(try await consumer("list", in: folder).lines[1].hasSuffix("keys that begin with \"shop/\""))
        let filter = try await consumer("filter", "mailer", "--key", "shop/1", in: folder)
        #expect(filter.text == "consumer mailer of stream events is given key \"shop/1\" from now on\n")
        #expect(try await consumer("move", "mailer", "--to", "beginning", in: folder).status == 0)
        #expect(try await tail("--consumer", "mailer", "--key", "shop/1").text.contains("\"stream_id\":2"))
        let delete = try await consumer("delete", "mailer", in: folder)
        #expect(delete.text == "removed consumer mailer of stream events\n")
        #expect(try await consumer("delete", "mailer", in: folder).status == 69)
        #expect(try await tail("--consumer", "late", "--from", "end").lines.isEmpty)
        #expect(try await tail("--consumer", "later", "--from", "4").status == 65)
    }

    @Test(arguments: [
        ["--from", "end"], ["--type", "a"], ["--key", "a"], ["--key-prefix", "a"], ["--stand-by"],
        ["--consumer", "c", "--stand-by", "--take-over"], ["--consumer", "c", "--from", "soon"],
        ["--consumer", "c", "--from", "1:2:x"],
    ]) func `what goes with a consumer alone is a mistake without one`(_ arguments: [String]) async throws {
        let folder = try TemporaryFolder()
        try await ingest(0..<1, folder)
        #expect(try await Program.run(["tail", "--database", folder.database] + arguments).status == 64)
    }

    @Test func `a consumer in use is not deleted, and a standby goes on when its process has ended`() async throws {
        let folder = try TemporaryFolder()
        try await ingest(0..<5, folder)
        let call = ["tail", "--consumer", "mailer", "--follow", "--database", folder.database]
        let first = try Program(call)
        try await first.waitForLines(5)
        let delete = try await consumer("delete", "mailer", in: folder)
        #expect(delete.status == 75 && delete.errors.contains("--take-over"))
        try await eventually("the checkpoint") {
            try await consumer("list", "--json", in: folder).text.contains("\"lag\":0")
        }
        let standby = try Program(call + ["--stand-by"])
        try await first.killAndWait()
        try await ingest(5..<6, folder)
        try await standby.waitForLines(1)
        standby.send(SIGTERM)
        let outcome = try await standby.outcome()
        #expect(outcome.status == 0 && outcome.lines.count == 1)
    }
}

import Foundation
import GRDB
import Synchronization
import TestSupport
import Testing

@testable import TidemarkCLI

@Suite struct EndingTests {
    @Test(arguments: [SIGTERM, SIGINT])
    func `a signal ends a writer in order, after what was read is persisted`(signal: Int32) async throws {
        let folder = try TemporaryFolder()
        let ingest = try Program(["ingest", "--database", folder.database, "--instance", "p1", "--print"])
        ingest.write(bytes(generatedLines(0..<5)))
        try await ingest.waitForLines(5)
        ingest.send(signal)
        let outcome = try await ingest.outcome()
        #expect(outcome.status == 0 && outcome.errors.isEmpty)
        let status = try await Program.run("status", "--database", folder.database, "--json")
        #expect(String(decoding: status.output, as: UTF8.self).contains("\"left\":1"))
    }

    //  ingest                                 another program
    //                                         BEGIN IMMEDIATE
    //  has an event to write: waits
    //  SIGINT: waits all the same
    //  SIGINT: ends
    @Test func `a second signal ends a writer that waits for somebody's lock`() async throws {
        let folder = try TemporaryFolder()
        let ingest = try Program(["ingest", "--database", folder.database, "--instance", "p1", "--print"])
        ingest.write(generatedLines(0..<1)[0])
        try await ingest.waitForLines(1)
        var configuration = Configuration()
        configuration.allowsUnsafeTransactions = true
        let another = try DatabaseQueue(path: folder.database, configuration: configuration)
        try await another.writeWithoutTransaction { try $0.execute(sql: "BEGIN IMMEDIATE") }
        ingest.write(generatedLines(1..<2)[0])
        try await eventually("the end of a program that waits for a lock") {
            ingest.send(SIGINT)
            return !ingest.isRunning
        }
        let outcome = try await ingest.outcome()
        #expect(outcome.status == 128 + SIGINT && outcome.lines.count == 1)
        try await another.writeWithoutTransaction { try $0.execute(sql: "COMMIT") }
    }

    //  ingest                                 another program
    //  is idle                                BEGIN IMMEDIATE
    //  SIGTERM: cannot leave
    //  says so, and ends
    //                                         COMMIT
    @Test(arguments: [0, 1])
    func `a signal ends a writer in time that cannot leave, and readers pass it then`(waiting: Int) async throws {
        let folder = try TemporaryFolder()
        let ingest = try Program(["ingest", "--database", folder.database, "--instance", "p1", "--print"])
        ingest.write(generatedLines(0..<1)[0])
        try await ingest.waitForLines(1)
        var configuration = Configuration()
        configuration.allowsUnsafeTransactions = true
        let another = try DatabaseQueue(path: folder.database, configuration: configuration)
        try await another.writeWithoutTransaction { try $0.execute(sql: "BEGIN IMMEDIATE") }
        ingest.write(bytes(generatedLines(1..<1 + waiting)))
        try await ingest.waitUntilRead()
        ingest.send(SIGTERM)
        // The lock is held for as long as the program lasts.
        let outcome = try await ingest.outcome()
        #expect(outcome.status == (waiting == 0 ? 0 : 75))
        #expect(outcome.errors.contains("p1#1 could not leave stream events"))
        #expect(waiting == 0 || outcome.errors.contains("could not all be persisted"))
        try await another.writeWithoutTransaction { try $0.execute(sql: "COMMIT") }
        _ = try await Program.run(
            "ingest", "--database", folder.database, "--instance", "p2", input: bytes(generatedLines(5..<6)))
        let tail = try await Program.run("tail", "--database", folder.database)
        #expect(tail.status == 0 && tail.lines.count == 2)
    }

    @Test func `a reader that ends late does not speak of persisting`() {
        let writer = Interruption.lateEndLine(of: .writer)
        #expect(writer.contains("not yet persisted"))
        let reader = Interruption.lateEndLine(of: .reader)
        #expect(!reader.contains("persist") && reader.contains("ended all the same"))
    }

    @Test func `the newer of two processes with one name goes on, the older says so and ends`() async throws {
        let folder = try TemporaryFolder()
        let call = ["ingest", "--database", folder.database, "--instance", "p1", "--print"]
        let older = try Program(call)
        older.write(generatedLines(0..<1)[0])
        try await older.waitForLines(1)
        let newer = try Program(call)
        newer.write(generatedLines(1..<2)[0])
        try await newer.waitForLines(1)
        // Its input is open and quiet.
        let outcome = try await older.outcome()
        #expect(outcome.status == 75)
        #expect(outcome.errorLines.count == 1 && outcome.errors.contains("p1#1 in stream events"))
        newer.endInput()
        #expect(try await newer.outcome().status == 0)
    }

    @Test func `a second reader of a consumer's name takes it over`() async throws {
        let folder = try TemporaryFolder()
        _ = try await Program.run(
            "ingest", "--database", folder.database, "--instance", "p1", input: bytes(generatedLines(0..<10)))
        let call = ["tail", "--database", folder.database, "--follow", "--consumer", "c1"]
        let first = try Program(call)
        try await first.waitForLines(10)
        try await eventually {
            let status = try await Program.run("status", "--database", folder.database, "--json")
            return String(decoding: status.output, as: UTF8.self).contains("\"name\":\"c1\",\"position\":10,\"lag\":0")
        }
        let second = try Program(call + ["--take-over"])
        let outcome = try await first.outcome()
        #expect(outcome.status == 75)
        #expect(outcome.errorLines.count == 1 && outcome.errors.contains("consumer c1"))
        _ = try await Program.run(
            "ingest", "--database", folder.database, "--instance", "p1", input: bytes(generatedLines(10..<12)))
        try await second.waitForLines(2)
        second.send(SIGTERM)
        #expect(try await second.outcome().lines.map { try parsed($0).streamID } == [11, 12])
    }

    @Test func `a consumer's place does not move past what nobody read`() async throws {
        let folder = try TemporaryFolder()
        _ = try await Program.run(
            "ingest", "--database", folder.database, "--instance", "p1", input: bytes(generatedLines(0..<10)))
        let tail = try Program(["tail", "--database", folder.database, "--consumer", "c1"], reader: .gone)
        // Whoever closes a pipe has had enough.
        let outcome = try await tail.outcome()
        #expect(outcome.status == 0 && outcome.errors.isEmpty)
        let again = try await Program.run("tail", "--database", folder.database, "--consumer", "c1")
        #expect(again.lines.count == 10)
        let rest = try await Program.run("tail", "--database", folder.database, "--consumer", "c1")
        #expect(rest.status == 0 && rest.output.isEmpty)
    }

    @Test(arguments: ["tail --follow", "status --watch", "status --watch --json"])
    func `what goes on ends, as it should, when the reader has enough, also while nothing comes`(
        command: String
    ) async throws {
        let folder = try TemporaryFolder()
        _ = try await Program.run(
            "ingest", "--database", folder.database, "--instance", "p1", input: bytes(generatedLines(0..<1)))
        let outcome = try await Program.shell(
            "\"$0\" \(command) --database \"$1\" | head -n 1; exit ${PIPESTATUS[0]}", database: folder.database
        ).outcome()
        #expect(outcome.status == 0 && outcome.lines.count == 1 && outcome.errors.isEmpty)
    }

    @Test func `what was done is no failure because nobody reads that it was`() async throws {
        let folder = try TemporaryFolder()
        _ = try await Program.run(
            "ingest", "--database", folder.database, "--instance", "p1", input: bytes(generatedLines(0..<1)))
        for arguments in [["close", "--instance", "p1"], ["status"], ["tail"]] {
            let outcome = try await Program(arguments + ["--database", folder.database], reader: .gone).outcome()
            #expect(outcome.status == 0 && outcome.errors.isEmpty, "\(arguments): \(outcome.errors)")
        }
        let help = try await Program(["--help"], reader: .gone).outcome()
        #expect(help.status == 0 && help.errors.isEmpty)
    }

    //  tail >> file     the file may not grow any more in the middle of a line: takes the part of it out, ends
    //  tail >> file     goes on behind the last event that is there
    @Test func `output that is full ends with a whole line, and what is appended later goes on after it`() async throws
    {
        let folder = try TemporaryFolder()
        let lines = generatedLines(0..<4000)
        _ = try await Program.run("ingest", "--database", folder.database, "--instance", "p1", input: bytes(lines))
        let file = folder.path + "/events.ndjson"
        let full = try await Program.shell(
            "ulimit -f 200; exec \"$0\" tail --database \"$1\" >> '\(file)'", database: folder.database
        ).outcome()
        #expect(full.status == 69 && full.errorLines.count == 1)
        #expect(full.errors.hasPrefix("tidemark: standard output cannot be written: "))
        let written = try String(contentsOfFile: file, encoding: .utf8)
        let last = try #require(written.split(separator: "\n").last)
        #expect(written.hasSuffix("\n") && written.utf8.count <= 200 << 10)
        let rest = try await Program.shell(
            "exec \"$0\" tail --database \"$1\" --after \(try parsed(String(last)).streamID) >> '\(file)'",
            database: folder.database
        ).outcome()
        #expect(rest.status == 0)
        let all = try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n").map(String.init)
        #expect(try all.map { try parsed($0).event } == lines)
    }

    @Test func `a writer whose output nobody reads ends with an error, and what it persisted stays`() async throws {
        let folder = try TemporaryFolder()
        let ingest = try Program(
            ["ingest", "--database", folder.database, "--instance", "p1", "--print"], reader: .gone)
        ingest.write(bytes(generatedLines(0..<3)))
        let outcome = try await ingest.outcome()
        #expect(outcome.status == 69 && outcome.errorLines.count == 1)
        let tail = try await Program.run("tail", "--database", folder.database)
        #expect(tail.lines.count == 3 && tail.status == 0)
    }

    @Test func `output that nobody takes keeps no signal from ending the program, nor events from being kept`()
        async throws
    {
        let folder = try TemporaryFolder()
        let lines = generatedLines(0..<20_000)
        let call = ["ingest", "--database", folder.database, "--instance", "p1", "--print"]
        let ingest = try Program(call, reader: .asleep)
        ingest.write(bytes(lines))
        // As much as a pipe holds was printed; then nothing more is persisted.
        let last = Mutex("")
        try await eventually {
            let status = try await Program.run("status", "--database", folder.database, "--json")
            let minimum = status.lines.first?.split(separator: ",").first { $0.contains("minimum_persisted") } ?? ""
            return last.withLock { last in
                defer { last = String(minimum) }
                // Thousands.
                return minimum == last && minimum.hasPrefix("\"minimum_persisted\":") && minimum.utf8.count >= 24
            }
        }
        ingest.send(SIGTERM)
        let outcome = try await ingest.outcome()
        #expect(outcome.status == 0 && outcome.errors.isEmpty)
        let tail = try Program(["tail", "--database", folder.database, "--consumer", "c1"], reader: .asleep)
        try await eventually {
            let status = try await Program.run("status", "--database", folder.database, "--json")
            return String(decoding: status.output, as: UTF8.self).contains("\"name\":\"c1\"")
        }
        tail.send(SIGTERM)
        #expect(try await tail.outcome().status == 0)
        let read = try await Program.run("tail", "--database", folder.database).lines.map { try parsed($0).event }
        #expect(read == Array(lines.prefix(read.count)))
    }

    @Test func `a tail with follow waits for a database, and for its schema`() async throws {
        let folder = try TemporaryFolder()
        let tail = try Program(["tail", "--database", folder.database, "--follow"])
        #expect(FileManager.default.createFile(atPath: folder.database, contents: Data()))
        let once = try await Program.run("tail", "--database", folder.database)
        #expect(once.status == 69 && once.errorLines.count == 1)
        _ = try await Program.run(
            "ingest", "--database", folder.database, "--instance", "p1", input: bytes(generatedLines(0..<1)))
        try await tail.waitForLines(1)
        tail.send(SIGTERM)
        let outcome = try await tail.outcome()
        #expect(outcome.status == 0)
        #expect(outcome.errors.hasPrefix("tidemark: waiting: "))
        // Each reason once.
        #expect(Set(outcome.errorLines).count == outcome.errorLines.count)
    }

    @Test func `a tail with follow says that nobody has joined its stream yet, and waits`() async throws {
        let folder = try TemporaryFolder()
        _ = try await Program.run("ingest", "--database", folder.database, "--instance", "p1")
        let tail = try Program(["tail", "--database", folder.database, "--follow", "--stream", "other"])
        try await eventually { !tail.errors.isEmpty }
        #expect(tail.errors.contains("no stream named other; there is events"))
        _ = try await Program.run(
            "ingest", "--database", folder.database, "--instance", "p1", "--stream", "other",
            input: bytes(generatedLines(0..<1)))
        try await tail.waitForLines(1)
        tail.send(SIGTERM)
        let outcome = try await tail.outcome()
        #expect(outcome.status == 0 && outcome.errorLines.count == 1)
    }
}

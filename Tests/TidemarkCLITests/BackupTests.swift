import Foundation
import TestSupport
import Testing

@testable import TidemarkCLI

/// `tidemark backup`.
@Suite struct BackupTests {
    private func ingest(_ numbers: Range<Int>, _ path: String) async throws {
        let outcome = try await Program.run(
            ["ingest", "--database", path, "--instance", "p1"], input: bytes(generatedLines(numbers)))
        #expect(outcome.status == 0)
    }

    private func backUp(_ path: String, to copy: String) async throws -> Outcome {
        try await Program.run(["backup", "--database", path, "--to", copy])
    }

    @Test func `a copy is made beside a writer that runs, and read on its own`() async throws {
        let folder = try TemporaryFolder()
        let writer = try Program(["ingest", "--database", folder.database, "--instance", "p1", "--print"])
        writer.write(bytes(generatedLines(0..<20)))
        try await writer.waitForLines(20)
        let copy = folder.path + "/copy.db"
        let outcome = try await backUp("sqlite:" + folder.database, to: copy)
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.lines.count == 2 && outcome.lines[0].hasSuffix(" bytes, checked"))
        #expect(outcome.lines[1] == "  stream events: the sequence is at 20")
        writer.endInput()
        #expect(try await writer.outcome().status == 0)
        let tail = try await Program.run(["tail", "--database", copy])
        #expect(tail.status == 0 && tail.lines.count == 20)
        try await ingest(20..<22, copy)
        #expect(try await Program.run(["tail", "--database", copy]).lines.count == 22)
        #expect(try await Program.run(["tail", "--database", folder.database]).lines.count == 20)
    }

    @Test func `what cannot be a backup is told in one line, and nothing is left`() async throws {
        let folder = try TemporaryFolder()
        try await ingest(0..<3, folder.database)
        let link = folder.path + "/link.db"
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: folder.database)
        try Data("mine".utf8).write(to: URL(filePath: folder.path + "/mine.db"))
        let copy = folder.path + "/copy.db"
        for (from, to, status, problem) in [
            (folder.database, folder.database, ExitStatus.unavailable, "it is the database itself"),
            (folder.database, link, .unavailable, "it is the database itself"),
            (folder.database, folder.path + "/mine.db", .unavailable, "it exists"),
            (folder.database, folder.path + "/none/copy.db", .unavailable, "there is no folder"),
            (folder.path + "/none.db", copy, .unavailable, "no such file"),
            ("postgres://example.org/app", copy, .usage, "pg_dump"),
            (folder.database, "postgres://example.org/app", .usage, "tidemark move"),
            (folder.database, ":memory:", .unavailable, "the path of one"),
        ] {
            let outcome = try await backUp(from, to: to)
            #expect(outcome.status == status.rawValue, "\(to): \(outcome.errors)")
            #expect(outcome.errorLines.count == 1 && outcome.errors.contains(problem), "\(outcome.errors)")
        }
        let left = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        #expect(left.allSatisfy { $0.hasPrefix("events.db") || $0 == "link.db" || $0 == "mine.db" }, "\(left)")
        #expect(try Data(contentsOf: URL(filePath: folder.path + "/mine.db")) == Data("mine".utf8))
    }

    @Test func `a full disk leaves nothing of a backup`() async throws {
        let folder = try TemporaryFolder()
        let line = String(repeating: "x", count: 1000)
        let made = try await Program.run(
            ["ingest", "--database", folder.database, "--instance", "p1"],
            input: bytes((0..<3000).map { "{\"id\":\"e\($0)\",\"type\":\"t\",\"text\":\"\(line)\"}" }))
        #expect(made.status == 0)
        let tidemark = try Program.executable("tidemark").path
        let limited = try Program(
            executable: URL(fileURLWithPath: "/bin/bash"),
            ["-c", "ulimit -f 1024; exec \"$0\" \"$@\"", tidemark, "backup", "--database", folder.database]
                + ["--to", folder.path + "/copy.db"])
        let outcome = try await limited.outcome()
        #expect(outcome.status == 69 && outcome.errors.contains("is full"), "\(outcome.errors)")
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: folder.path).allSatisfy { !$0.hasPrefix("copy") })
    }
}

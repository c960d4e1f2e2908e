import Foundation
import TestSupport
import Testing

/// What administrators do with files: everything was stopped in order, and the database file alone is copied.
@Suite struct LastOneOutTests {
    @Test(arguments: [[], ["--consumer", "mailer"]])
    func `after everybody has ended in order the database file alone holds everything`(reader: [String]) async throws {
        let folder = try TemporaryFolder()
        let copy = try TemporaryFolder()
        let ingest = ["ingest", "--database", folder.database, "--instance", "p1"]
        #expect(try await Program.run(ingest, input: bytes(generatedLines(0..<100))).status == 0)
        #expect(try await Program.run(["tail", "--database", folder.database] + reader).lines.count == 100)
        #expect(try await Program.run(["status", "--database", folder.database]).status == 0)
        // Who only reads may leave an empty one.
        let log = try? FileManager.default.attributesOfItem(atPath: folder.database + "-wal")[.size] as? Int
        #expect(log ?? 0 == 0)
        try FileManager.default.copyItem(atPath: folder.database, toPath: copy.database)
        let tail = try await Program.run(["tail", "--database", copy.database])
        #expect(tail.status == 0 && tail.lines.count == 100)
        // And goes on from there.
        let next = try await Program.run(
            ["ingest", "--database", copy.database, "--instance", "p1", "--print"],
            input: bytes(generatedLines(100..<101)))
        #expect(next.lines == ["101\tevent-100"])
    }

    @Test func `a reader that a signal ends is the last one out as well`() async throws {
        let folder = try TemporaryFolder()
        let tail = try Program(["tail", "--database", folder.database, "--follow"])
        let ingest = ["ingest", "--database", folder.database, "--instance", "p1"]
        #expect(try await Program.run(ingest, input: bytes(generatedLines(0..<5))).status == 0)
        try await tail.waitForLines(5)
        tail.send(SIGTERM)
        #expect(try await tail.outcome().status == 0)
        #expect(!FileManager.default.fileExists(atPath: folder.database + "-wal"))
    }

    @Test func `an empty file beside the -wal of a database that is gone is not begun anew`() async throws {
        let folder = try TemporaryFolder()
        #expect(FileManager.default.createFile(atPath: folder.database + "-wal", contents: Data(count: 4096)))
        let ingest = try await Program.run(
            ["ingest", "--database", folder.database, "--instance", "p1"], input: bytes(generatedLines(0..<1)))
        #expect(ingest.status == 69 && ingest.errorLines.count == 1 && ingest.errors.contains("there is its -wal"))
        #expect(!FileManager.default.fileExists(atPath: folder.database))
    }

    /// As containers share a file: `--volume events.db:/data/events.db`.
    @Test(.enabled(if: Surroundings.mayMount, "needs a view of the file system of its own"))
    func `a file that is mounted alone is refused, with what to do instead`() async throws {
        let folder = try TemporaryFolder()
        let other = try TemporaryFolder()
        let ingest = ["ingest", "--database", folder.database, "--instance", "p1"]
        #expect(try await Program.run(ingest, input: bytes(generatedLines(0..<5))).status == 0)
        #expect(FileManager.default.createFile(atPath: other.database, contents: nil))
        let script = """
            mount --bind "$1" "$2" && exec "$0" tail --database "$2"
            """
        let tidemark = try Program.executable("tidemark").path
        let tail = try Program(
            executable: URL(filePath: "/usr/bin/unshare"),
            [
                "--map-root-user", "--mount", "--propagation", "private", "sh", "-c", script, tidemark, folder.database,
                other.database,
            ])
        tail.endInput()
        let outcome = try await tail.outcome()
        #expect(outcome.status == 69 && outcome.output.isEmpty)
        #expect(outcome.errors.contains("mounted alone") && outcome.errors.contains("mount the folder"))
    }
}

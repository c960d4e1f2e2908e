import Foundation
import TestSupport
import Testing

@testable import TidemarkCLI

@Suite struct FullDiskTests {
    /// SQLite calls it an I/O error, as it does a quota that is used up.
    @Test func `a limit of the size of files is said to be one, and nothing that was acknowledged is lost`()
        async throws
    {
        let folder = try TemporaryFolder()
        let tidemark = try Program.executable("tidemark").path
        let limited = try Program(
            executable: URL(fileURLWithPath: "/bin/bash"),
            ["-c", "ulimit -f 1024; exec \"$0\" \"$@\"", tidemark, "ingest", "--database", folder.database]
                + ["--instance", "p1", "--print", "--batch", "10"])
        let text = String(repeating: "x", count: 1000)
        limited.write(bytes((0..<3000).map { "{\"id\":\"e\($0)\",\"type\":\"t\",\"text\":\"\(text)\"}" }))
        limited.endInput()
        let outcome = try await limited.outcome()
        #expect(outcome.status == 69)
        #expect(outcome.errors.contains("a limit of the size of files is reached"), "\(outcome.errors)")
        let tail = try await Program.run("tail", "--database", folder.database)
        #expect(tail.status == 0 && !outcome.lines.isEmpty)
        #expect(tail.lines.count >= outcome.lines.count)
    }

    @Test(
        .enabled(if: Surroundings.mayMount, "needs a view of the file system of its own"),
        arguments: ["size=300k", "size=100k", "nr_inodes=4"])
    func `a disk without room is said to be full, at whatever place it is found out`(limit: String) async throws {
        let folder = try TemporaryFolder()
        let program = try Program.shell(
            """
            exec unshare --map-root-user --mount --propagation private bash -c '
                mount -t tmpfs -o \(limit) none "$3" && "$1" ingest --instance p1 --batch 10 --database "$2"' \
                x "$0" "$1" '\(folder.path)'
            """, database: folder.database)
        let text = String(repeating: "x", count: 1000)
        program.write(bytes((0..<1000).map { "{\"id\":\"e\($0)\",\"type\":\"t\",\"text\":\"\(text)\"}" }))
        program.endInput()
        let outcome = try await program.outcome()
        #expect(outcome.status == 69)
        let last = outcome.errorLines.last ?? ""
        #expect(last.hasPrefix("tidemark: the disk of \(folder.database) is full"), "\(outcome.errors)")
    }
}

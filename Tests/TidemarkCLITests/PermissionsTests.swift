import Foundation
import GRDB
import TestSupport
import Testing

@testable import TidemarkCLI

@Suite struct PermissionsTests {
    private func makeDatabase(_ folder: TemporaryFolder) async throws {
        let made = try await Program.run(
            "ingest", "--database", folder.database, "--instance", "p1", input: bytes(generatedLines(0..<3)))
        #expect(made.status == 0)
    }

    /// Root looks at a service's database: what root would make could lock the service out.
    @Test(arguments: [["status"], ["audit", "--consumer", "c"]])
    func `a command that only reads makes no folder beside the database`(command: [String]) async throws {
        let folder = try TemporaryFolder()
        try await makeDatabase(folder)
        _ = try await Program.run("tail", "--database", folder.database, "--consumer", "c")
        try FileManager.default.removeItem(atPath: folder.database + "-tidemark")
        let outcome = try await Program(command + ["--database", folder.database]).outcome()
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(!FileManager.default.fileExists(atPath: folder.database + "-tidemark"))
    }

    @Test(.enabled(if: geteuid() == 0))
    func `who reads somebody else's database makes no folder beside it`() async throws {
        let folder = try TemporaryFolder()
        try await makeDatabase(folder)
        try FileManager.default.removeItem(atPath: folder.database + "-tidemark")
        #expect(chown(folder.database, 54_321, 54_321) == 0)
        let outcome = try await Program.run("tail", "--database", folder.database)
        #expect(outcome.status == 0 && outcome.lines.count == 3, "\(outcome.errors)")
        #expect(!FileManager.default.fileExists(atPath: folder.database + "-tidemark"))
    }

    @Test func `a folder that was opened to a group keeps nobody out`() async throws {
        let folder = try TemporaryFolder()
        try await makeDatabase(folder)
        for (index, command) in [["ingest", "--instance", "p2"], ["tail"], ["status"]].enumerated() {
            #expect(chmod(folder.database + "-tidemark", 0o2770) == 0)
            let program = try Program(command + ["--database", folder.database])
            if index == 0 { program.write(bytes(generatedLines(3..<5))) }
            program.endInput()
            let outcome = try await program.outcome()
            #expect(outcome.status == 0, "\(command): \(outcome.errors)")
            // Whoever only looks puts nothing right.
            #expect(outcome.errors.contains("mode 2770") == (index < 2), "\(command): \(outcome.errors)")
        }
    }

    /// A copy in an archive, say: there is no `-wal`, and nobody can make one.
    @Test(.enabled(if: geteuid() == 0))
    func `who may read the file, but make nothing beside it, reads what is there`() async throws {
        let folder = try TemporaryFolder()
        try await makeDatabase(folder)
        let queue = try DatabaseQueue(path: folder.database)
        try await queue.writeWithoutTransaction { try $0.execute(sql: "PRAGMA wal_checkpoint(TRUNCATE)") }
        try queue.close()
        for file in ["-wal", "-shm"] { try? FileManager.default.removeItem(atPath: folder.database + file) }
        #expect(chmod(folder.path, 0o755) == 0 && chmod(folder.database, 0o644) == 0)
        let tidemark = try Program.executable("tidemark").path
        for command in ["tail", "status"] {
            let outcome = try await Program(
                executable: URL(fileURLWithPath: "/usr/bin/env"),
                ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", tidemark, command, "--database"]
                    + [folder.database]
            ).outcome()
            #expect(outcome.status == 0, "\(command): \(outcome.errors)")
            if command == "tail" { #expect(outcome.lines.count == 3) }
        }
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
        #expect(names == ["events.db", "events.db-tidemark"])
    }
}

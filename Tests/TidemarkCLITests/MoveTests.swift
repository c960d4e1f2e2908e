import Foundation
import Synchronization
import TestSupport
import Testing
import TidemarkTesting

@testable import TidemarkCLI

/// `tidemark move`, between a file and a real server.
@Suite(.enabled(if: PostgresServerProcess.isInstalled), .timeLimit(.minutes(5))) struct MoveTests {
    @Test func `a stream is moved to a server and back, and the old address says where it went`() async throws {
        let server = try await PostgresServerProcess(["fsync=off"])
        let folder = try TemporaryFolder()
        let (file, address) = (folder.database, try await server.newDatabase())
        func run(_ arguments: String..., input: [String] = []) async throws -> Outcome {
            let outcome = try await Program.run(arguments, input: bytes(input))
            #expect(outcome.errors.isEmpty || outcome.errorLines.count == 1, "\(arguments): \(outcome.errors)")
            return outcome
        }
        let lines = generatedLines(0..<20)
        #expect(try await run("ingest", "--database", file, "--instance", "p1", input: lines).status == 0)
        #expect(try await run("tail", "--database", file, "--consumer", "mailer").lines.count == 20)

        let there = try await run("move", "--from", file, "--to", address)
        #expect(there.status == 0, "\(there.errors)")
        #expect(
            there.text.contains(": 1 consumer, the sequence is at 20; 20 events, 0 tombstones were compared, digest "))
        #expect(try await run("move", "--from", file, "--to", address).text.contains("it had been moved before"))

        let refused = try await run("ingest", "--database", file, "--instance", "p1", input: generatedLines(20..<21))
        #expect(refused.status == ExitStatus.unavailable.rawValue)
        #expect(refused.errors.contains("it went to PostgreSQL at 127.0.0.1:"), "\(refused.errors)")
        let reading = try await run("tail", "--database", file)
        #expect(reading.status == ExitStatus.unavailable.rawValue && reading.errors.contains("it went to"))

        let more = generatedLines(20..<25)
        #expect(try await run("ingest", "--database", address, "--instance", "p1", input: more).status == 0)
        #expect(try await run("tail", "--database", address, "--consumer", "mailer").lines.count == 5)
        #expect(try await run("audit", "--database", address, "--consumer", "mailer").status == 0)

        let back = try await run("move", "--from", address, "--to", "sqlite:" + file)
        #expect(back.status == 0, "\(back.errors)")
        #expect(try await run("tail", "--database", file).lines.count == 25)
        #expect(try await run("audit", "--database", file, "--consumer", "mailer").status == 0)
        #expect(try await run("tail", "--database", address).errors.contains("it went to \(file)"))
    }

    @Test func `what cannot be moved is told in one line`() async throws {
        let folder = try TemporaryFolder()
        let same = try await Program.run(["move", "--from", folder.database, "--to", "sqlite:" + folder.database])
        #expect(same.status == ExitStatus.usage.rawValue)
        let missing = try await Program.run(["move", "--from", folder.database, "--to", folder.path + "/other.db"])
        #expect(missing.status == ExitStatus.unavailable.rawValue && missing.errorLines.count == 1)
        let lines = generatedLines(0..<3)
        for path in [folder.database, folder.path + "/other.db"] {
            let made = try await Program.run(["ingest", "--database", path, "--instance", "p1"], input: bytes(lines))
            #expect(made.status == 0)
        }
        let taken = try await Program.run(["move", "--from", folder.database, "--to", folder.path + "/other.db"])
        #expect(taken.status == ExitStatus.unavailable.rawValue)
        #expect(taken.errors.contains("has a stream events already"), "\(taken.errors)")
        // It is as it was.
        let tail = try await Program.run(["tail", "--database", folder.database])
        #expect(tail.lines.count == 3)
        let back = try await Program.run(
            ["move", "--from", folder.database, "--to", folder.path + "/other.db", "--take-back"])
        #expect(back.status == 0 && back.text.contains("stays in"), "\(back.errors)")
    }
}

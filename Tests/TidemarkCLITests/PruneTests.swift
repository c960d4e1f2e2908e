import Foundation
import GRDB
import TestSupport
import Testing
import Tidemark
import TidemarkSQLite

@testable import TidemarkCLI

/// `tidemark prune`.
@Suite struct PruneTests {
    private func ingest(_ numbers: Range<Int>, _ folder: TemporaryFolder) async throws {
        let outcome = try await Program.run(
            ["ingest", "--database", folder.database, "--instance", "p1"], input: bytes(generatedLines(numbers)))
        #expect(outcome.status == 0)
    }

    private func run(_ arguments: String..., in folder: TemporaryFolder) async throws -> Outcome {
        let outcome = try await Program.run(arguments + ["--database", folder.database])
        #expect(outcome.errorLines.count == (outcome.status == 0 ? 0 : 1), "\(arguments): \(outcome.errors)")
        return outcome
    }

    @Test func `it says how much it removed, and readers from the beginning are told where the stream begins`()
        async throws
    {
        let folder = try TemporaryFolder()
        try await ingest(0..<10, folder)
        #expect(try await run("tail", "--consumer", "mailer", in: folder).lines.count == 10)
        let pruned = try await run("prune", "--through", "4", in: folder)
        #expect(pruned.status == 0)
        #expect(pruned.text.hasPrefix("pruned stream events: 4 events removed, it begins after 4; "))
        let tail = try await run("tail", in: folder)
        #expect(tail.status == 65 && tail.output.isEmpty, "\(tail.errors)")
        #expect(tail.errors.contains("what follows 0 in stream events is not there any more: it was pruned up to 4"))
        #expect(try await run("tail", "--after", "4", in: folder).lines.count == 6)
        let audit = try await run("audit", "--consumer", "mailer", in: folder)
        #expect(audit.status == 0 && audit.text.contains("6 events are there up to it, 4 were pruned, 10 delivered"))
        let moved = try await run("consumer", "move", "mailer", "--to", "beginning", in: folder)
        #expect(moved.status == 65 && moved.errors.contains("pruned up to 4"))
        // The ids are known still.
        let again = try await Program.run(
            ["ingest", "--database", folder.database, "--instance", "p1", "--print"],
            input: bytes(generatedLines(0..<2)))
        #expect(again.lines == ["1\tevent-0", "2\tevent-1"])
        let kept = try await run("prune", "--keep", "2", "--forget-ids", in: folder)
        #expect(kept.status == 0 && kept.text.contains("4 events removed, it begins after 8"))
    }

    @Test func `who holds it back is named, with 75`() async throws {
        let folder = try TemporaryFolder()
        try await ingest(0..<5, folder)
        #expect(try await run("tail", "--consumer", "mailer", in: folder).lines.count == 5)
        try await ingest(5..<10, folder)
        let through = try await run("prune", "--through", "7", in: folder)
        #expect(through.status == 75 && through.output.isEmpty)
        #expect(through.errors.contains("cannot be pruned up to 7: consumer mailer is at 5"))
        #expect(try await run("tail", in: folder).lines.count == 10)
        // What is not told how far goes as far as it may.
        let keep = try await run("prune", "--keep", "1", in: folder)
        #expect(keep.status == 75 && keep.text.contains("5 events removed, it begins after 5"))
        #expect(keep.errors.contains("consumer mailer is there, and holds it back"))
        let ignoring = try await run("prune", "--keep", "1", "--ignoring", "mailer", in: folder)
        #expect(ignoring.status == 0 && ignoring.text.contains("4 events removed, it begins after 9"))
        let stopped = try await run("tail", "--consumer", "mailer", in: folder)
        #expect(stopped.status == 65 && stopped.errors.contains("pruned up to 9"))
        #expect(try await run("consumer", "move", "mailer", "--to", "9", in: folder).status == 0)
        #expect(try await run("tail", "--consumer", "mailer", in: folder).lines.count == 1)
    }

    @Test func `one that is interrupted says that not all was removed`() async throws {
        let folder = try TemporaryFolder()
        try await ingest(0..<20_000, folder)
        let store = try await SQLiteEventStore.open(path: folder.database)
        let prune = try Program(["prune", "--through", "19999", "--database", folder.database])
        try await eventually("it has begun") { try await store.pruned(of: "events")?.through ?? 0 > 0 }
        prune.send(SIGINT)
        let outcome = try await prune.outcome()
        #expect(outcome.status == 75 && outcome.output.isEmpty, "\(outcome.errors)")
        #expect(outcome.errorLines.count == 1 && outcome.errors.contains("the same command goes on"))
        await store.close()
    }

    @Test func `what is older than a time goes, up to the first event that is not`() async throws {
        let folder = try TemporaryFolder()
        try await ingest(0..<6, folder)
        #expect(try await run("prune", "--older-than", "1h", in: folder).text.contains(" 0 events removed"))
        let queue = try DatabaseQueue(path: folder.database)
        try await queue.write {
            try $0.execute(
                sql: "UPDATE tidemark_events SET persisted_at = persisted_at - 7200000 WHERE stream_id IN (1, 2, 5)")
        }
        try queue.close()
        let pruned = try await run("prune", "--older-than", "1h", in: folder)
        #expect(pruned.text.contains("2 events removed, it begins after 2"))
    }

    private static let wrong: [(arguments: [String], status: Int32)] = [
        (["--through", "99"], 75), (["--through", "3", "--stream", "other"], 69),
        (["--through", "3", "--ignoring", "nobody"], 69), ([], 64), (["--through", "0"], 64), (["--keep", "-1"], 64),
        (["--through", "1", "--keep", "1"], 64), (["--older-than", "30"], 64), (["--older-than", "x"], 64),
        (["--older-than", "-3d"], 64),
    ]

    @Test(arguments: wrong)
    func `what cannot be removed is told, and nothing is`(arguments: [String], status: Int32) async throws {
        let folder = try TemporaryFolder()
        try await ingest(0..<5, folder)
        let outcome = try await Program.run(["prune"] + arguments + ["--database", folder.database])
        #expect(outcome.status == status, "\(outcome.errors)")
        #expect(outcome.errorLines.count == 1 && outcome.output.isEmpty)
        #expect(try await run("tail", in: folder).lines.count == 5)
    }

    @Test func `a database that is not there is not made`() async throws {
        let folder = try TemporaryFolder()
        #expect(try await run("prune", "--keep", "1", in: folder).status == 69)
        #expect(!FileManager.default.fileExists(atPath: folder.database))
    }
}

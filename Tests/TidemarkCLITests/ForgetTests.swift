import Foundation
import TestSupport
import Testing

@testable import TidemarkCLI

@Suite struct ForgetTests {
    @Test func `a name that left is counted, shown with --all, and forgotten by hand`() async throws {
        let folder = try TemporaryFolder()
        let at = ["--database", folder.database]
        _ = try await Program.run(
            "ingest", "--database", folder.database, "--instance", "p1", input: bytes(generatedLines(0..<1)))
        let status = try await Program(["status"] + at).outcome()
        #expect(status.text.contains("writers that left  1\n") && !status.text.contains("p1"))
        let all = try await Program(["status", "--all"] + at).outcome()
        #expect(all.text.contains("p1") && all.text.contains("left"))
        let forget = try await Program(["forget", "--instance", "p1"] + at).outcome()
        #expect(forget.status == 0 && forget.lines == ["forgot p1 in stream events"])
        let again = try await Program(["forget", "--instance", "p1"] + at).outcome()
        #expect(again.status == 69 && again.errorLines == ["tidemark: stream events has no writer named p1"])
        let tail = try await Program(["tail"] + at).outcome()
        #expect(tail.lines.count == 1 && tail.text.contains("\"instance\":\"p1\""))
    }

    @Test func `a writer that runs is not forgotten`() async throws {
        let folder = try TemporaryFolder()
        let writer = try Program(["ingest", "--database", folder.database, "--instance", "p1", "--print"])
        writer.write(bytes(generatedLines(0..<1)))
        try await writer.waitForLines(1)
        let outcome = try await Program.run("forget", "--database", folder.database, "--instance", "p1")
        #expect(outcome.status == 75 && outcome.errors.contains("retire"))
        writer.endInput()
        #expect(try await writer.outcome().status == 0)
    }
}

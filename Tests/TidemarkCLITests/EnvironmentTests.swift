import Foundation
import TestSupport
import Testing

/// What the environment says of options that were left out.
@Suite struct EnvironmentTests {
    /// Runs the program with these variables.
    private func run(_ variables: [String], _ arguments: [String], input: [UInt8] = []) async throws -> Outcome {
        let program = try Program(
            executable: URL(fileURLWithPath: "/usr/bin/env"),
            variables + [Program.executable("tidemark").path] + arguments)
        program.write(input)
        program.endInput()
        return try await program.outcome()
    }

    @Test func `the environment names the database, the stream, the writer and the replication`() async throws {
        let folder = try TemporaryFolder()
        let variables = [
            "TIDEMARK_DATABASE=\(folder.database)", "TIDEMARK_STREAM=orders", "TIDEMARK_INSTANCE=p7",
            "TIDEMARK_REPLICATION=none", "TIDEMARK_NAMESPACE=shop",
        ]
        let written = try await run(variables, ["ingest", "--print"], input: bytes(generatedLines(0..<3)))
        #expect(written.status == 0 && written.lines.count == 3)
        let tail = try await run(variables, ["tail"])
        #expect(tail.lines.count == 3 && tail.lines[0].contains("\"instance\":\"p7\""))
        // The same by arguments.
        let named = try await Program.run("tail", "--database", folder.database, "--stream", "orders")
        #expect(named.lines == tail.lines)
    }

    @Test func `an argument goes before the environment`() async throws {
        let folder = try TemporaryFolder()
        let variables = [
            "TIDEMARK_DATABASE=/nowhere/at/all.db", "TIDEMARK_STREAM=a b", "TIDEMARK_INSTANCE=p 7",
            "TIDEMARK_REPLICATION=smoke",
        ]
        let written = try await run(
            variables,
            [
                "ingest", "--database", folder.database, "--stream", "orders", "--instance", "p1", "--replication",
                "none", "--print",
            ], input: bytes(generatedLines(0..<1)))
        #expect(written.status == 0 && written.lines == ["1\tevent-0"])
    }

    @Test(arguments: [
        (["TIDEMARK_STREAM=a b"], "TIDEMARK_STREAM in the environment: a name must be printable ASCII"),
        (["TIDEMARK_INSTANCE=p 1"], "TIDEMARK_INSTANCE in the environment: a name must be"),
        (["TIDEMARK_REPLICATION=smoke"], "TIDEMARK_REPLICATION in the environment: give auto"),
        (["TIDEMARK_DATABASE=mysql://u:geheim@h/d"], "TIDEMARK_DATABASE in the environment: no database is at mysql"),
        (["TIDEMARK_DATABASE=postgres://u:geheim@h:0/d"], "TIDEMARK_DATABASE in the environment: "),
        (["TIDEMARK_DATABASE=postgres://h/d", "TIDEMARK_NAMESPACE=A"], "TIDEMARK_NAMESPACE in the environment: \"A\""),
        (
            ["TIDEMARK_DATABASE=postgres://h/d", "TIDEMARK_DIRECT=x"],
            "TIDEMARK_DIRECT in the environment: --direct takes"
        ),
        (
            ["TIDEMARK_DATABSE=a.db"],
            "TIDEMARK_DATABSE in the environment: there is no such setting: did you mean TIDEMARK_DATABASE?"
        ),
        (["TIDEMARK_DATABASE="], "give --database DB, or set TIDEMARK_DATABASE"),
    ])
    func `a variable that does not fit is one line and 64`(variables: [String], problem: String) async throws {
        let folder = try TemporaryFolder()
        let base = ["TIDEMARK_DATABASE=\(folder.database)", "TIDEMARK_INSTANCE=p1"]
        let outcome = try await run(base + variables, ["ingest"])
        #expect(outcome.status == 64)
        #expect(outcome.errorLines.count == 1 && outcome.errors.contains(problem), "\(outcome.errors)")
        #expect(!outcome.errors.contains("geheim"))
        #expect(!FileManager.default.fileExists(atPath: folder.database))
    }

    /// A container platform makes such for a service of this name.
    @Test func `what is not like a setting is somebody else's`() async throws {
        let folder = try TemporaryFolder()
        let outcome = try await run(
            [
                "TIDEMARK_PORT=tcp://10.0.0.1:80", "TIDEMARK_SERVICE_HOST=10.0.0.1", "TIDEMARK_LOG_SILENCE_TIMEOUT=7s",
                "TIDEMARK_DATABASE=\(folder.database)", "TIDEMARK_INSTANCE=p1",
            ], ["ingest"])
        #expect(outcome.status == 0)
    }

    @Test func `help names the variables`() async throws {
        let help = try await Program.run("ingest", "--help")
        let text = help.lines.joined(separator: " ").split(separator: " ").joined(separator: " ")
        for name in ["DATABASE", "DIRECT", "NAMESPACE", "STREAM", "INSTANCE", "REPLICATION"] {
            #expect(text.contains("TIDEMARK_\(name) of the environment"), "\(name)")
        }
    }
}

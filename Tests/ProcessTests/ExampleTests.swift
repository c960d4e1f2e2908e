import Foundation
import TestSupport
import Testing

/// Examples that check what they do.
@Suite struct ExampleTests {
    @Test func `a table that is kept from the stream counts each event once, and whoever writes sees it there`()
        async throws
    {
        let program = try Program("ReadModel", [])
        let outcome = try await program.outcome()
        #expect(outcome.status == 0 && outcome.text == "alice: 4000\nbob: 700\n", "\(outcome.errors)")
    }

    @Test func `an example that finds no server says so in one line`() async throws {
        let outcome = try await Program("PostgreSQLQuickStart", ["postgres://nobody@127.0.0.1:1/none"]).outcome()
        // Before it the library has logged, with a date, what it could not reach.
        let lines = outcome.errorLines.filter { !$0.contains(" warning tidemark.postgresql: ") }
        #expect(outcome.status == 1 && outcome.output.isEmpty && lines.count == 1, "\(outcome.errors)")
        #expect(lines.first?.hasPrefix("PostgreSQLQuickStart: ") == true, "\(outcome.errors)")
    }

    @Test(arguments: ["QuickStart", "Outbox", "ReadModel", "Accounts", "Services"])
    func `an example that may make no files says so in one line`(name: String) async throws {
        let outcome = try await Program(
            executable: URL(fileURLWithPath: "/usr/bin/env"),
            ["TMPDIR=/dev/null", try Program.executable(name).path]
        ).outcome()
        #expect(outcome.status == 1 && outcome.output.isEmpty && outcome.errorLines.count == 1, "\(outcome.errors)")
        #expect(outcome.errors.hasPrefix("\(name): "))
    }

    @Test func `of withdrawals that are decided at once none overdraws its account`() async throws {
        let program = try Program("Accounts", [])
        let outcome = try await program.outcome()
        #expect(
            outcome.status == 0 && outcome.text == "10 withdrawals, 10 refused, 0 cents left\n", "\(outcome.errors)")
    }
}

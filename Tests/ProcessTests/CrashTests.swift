import Foundation
import TestSupport
import Testing
import TidemarkTesting

/// Short forms of `scripts/crash`, whose bars are for a machine that does nothing else: here they are wider by a factor.
@Suite(.serialized) struct CrashTests {
    private static let slack = 6.0

    @Test func `processes that are killed and stopped at random lose and skip nothing`() async throws {
        let folder = try TemporaryFolder()
        let run = try Program(
            "CrashTest",
            [
                "supervise", "--seconds", "10", "--longest-stop", "3", "--slack", "\(Self.slack)", "--folder",
                folder.path,
            ])
        let outcome = try await run.outcome(within: .seconds(240))
        #expect(outcome.status == 0, "\(outcome.lines.joined(separator: "\n")) \(outcome.errors)")
        #expect(outcome.lines.last == "nothing was lost, skipped or repeated")
    }

    @Test(arguments: PostgresServerProcess.isInstalled ? [false, true] : [false])
    func `processors that are killed and stopped at random handle every event, in order, one at a time`(
        isOnServer: Bool
    ) async throws {
        let folder = try TemporaryFolder()
        let run = try Program(
            "CrashTest",
            [
                "processors", "--seconds", "10", "--longest-stop", "4", "--slack", "\(Self.slack)", "--folder",
                folder.path,
            ] + (isOnServer ? ["--postgres"] : []))
        let outcome = try await run.outcome(within: .seconds(420))
        #expect(outcome.status == 0, "\(outcome.lines.joined(separator: "\n")) \(outcome.errors)")
        let last = "every event was handled, in order, by one at a time" + (isOnServer ? "" : ", and counted once")
        #expect(outcome.lines.last == last)
    }

    @Test(arguments: PostgresServerProcess.isInstalled ? [false, true] : [false])
    func `no event has two successors, though 32 callers append to 100 keys and are killed`(
        isOnServer: Bool
    ) async throws {
        let folder = try TemporaryFolder()
        let run = try Program(
            "CrashTest",
            ["appends", "--seconds", "6", "--folder", folder.path] + (isOnServer ? ["--postgres"] : []))
        let outcome = try await run.outcome(within: .seconds(240))
        #expect(outcome.status == 0, "\(outcome.lines.joined(separator: "\n")) \(outcome.errors)")
        #expect(outcome.lines.last == "no event has two successors")
    }

    /// How much longer their events take is told, and has its bar in `scripts/crash`.
    @Test func `a stream is pruned while writers write, and who is below is told`() async throws {
        let run = try Program("CrashTest", ["prune", "--events", "6000", "--pruned", "4000", "--seconds", "1"])
        let outcome = try await run.outcome(within: .seconds(240))
        #expect(outcome.status == 0, "\(outcome.lines.joined(separator: "\n")) \(outcome.errors)")
        #expect(outcome.lines.last == "what follows the mark is there, and who is below is told so")
    }

    @Test func `when the process that serves the socket is stopped, readers go on and another serves`() async throws {
        let run = try Program(
            "CrashTest", ["silent-server", "--slack", "\(Self.slack)"])
        let outcome = try await run.outcome(within: .seconds(240))
        #expect(outcome.status == 0, "\(outcome.lines.joined(separator: "\n")) \(outcome.errors)")
    }

    @Test(.enabled(if: PostgresServerProcess.isInstalled))
    func `a PostgreSQL server that is killed under load takes nothing with it that was acknowledged`() async throws {
        let run = try Program("CrashTest", ["server-kills", "--kills", "2"])
        let outcome = try await run.outcome(within: .seconds(300))
        #expect(outcome.status == 0, "\(outcome.lines.joined(separator: "\n")) \(outcome.errors)")
        #expect(outcome.lines.last == "nothing was lost, skipped or repeated")
    }

    @Test(.enabled(if: PostgresServerProcess.isInstalled))
    func `neither a transaction of another database nor writers that are killed hold readers of a server up`()
        async throws
    {
        let run = try Program(
            "CrashTest", ["held-up", "--seconds", "5", "--kills", "3", "--slack", "20"])
        let outcome = try await run.outcome(within: .seconds(240))
        #expect(outcome.status == 0, "\(outcome.lines.joined(separator: "\n")) \(outcome.errors)")
        #expect(outcome.lines.count == 4)
    }
}

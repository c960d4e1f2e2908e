import ArgumentParser
import Foundation

/// The program `tidemark`.
@main
struct TidemarkCommand: AsyncParsableCommand {
    /// The newest version in `CHANGELOG.md`, and whether there is more in it that has no number yet.
    static let version = "0.1.0+unreleased"

    static let configuration = CommandConfiguration(
        commandName: "tidemark",
        abstract: "Writes events into ordered streams, and reads them in order.",
        discussion: """
            Several writers may persist into one stream at the same time; readers get every event once, in order, and \
            wait for no writer that has nothing to say.

            EXAMPLE:
              tidemark ingest --database events.db --instance p1 < events.ndjson
              tidemark tail --database events.db --follow
            """,
        version: version,
        subcommands: [
            IngestCommand.self, TailCommand.self, EventsCommand.self, IndexCommand.self, StatusCommand.self,
            HealthCommand.self, AuditCommand.self,
            ConsumerGroup.self,
            CloseCommand.self, RetireCommand.self, ForgetCommand.self, MoveCommand.self, BackupCommand.self,
            PruneCommand.self, ReplicationGroup.self, DashboardCommand.self, DemoCommand.self,
        ])

    /// Shows every error as one line, and ends with the status of sysexits.h that belongs to it.
    static func main() async {
        StandardStreams.prepare()
        // The first is the program's own name. Without `/proc` not even that is there, and the program has to end before it
        // waits for anything: libdispatch traps as soon as it looks at its threads.
        guard !CommandLine.arguments.isEmpty else { exitWithoutArguments() }
        let status = await run(Array(CommandLine.arguments.dropFirst()))
        // Not `exit`, which takes libraries down under threads that still use them: one that was just connecting to a server ended
        // the program with an assertion of Kerberos. What is to be closed is closed by now.
        fflush(nil)
        _exit(status.rawValue)
    }

    /// Swift reads the arguments from `/proc`, and finds them there no more after some preloaded libraries have been at work.
    private static func exitWithoutArguments() -> Never {
        StandardStreams.writeError(
            "tidemark: the arguments of this program cannot be read, so nothing was done: it needs /proc, and LD_PRELOAD "
                + "without a library that hides them")
        Foundation.exit(ExitStatus.systemError.rawValue)
    }

    private static func run(_ arguments: [String]) async -> ExitStatus {
        do {
            try Misspelling.check(commandsOf: arguments)
            let command: any ParsableCommand
            do {
                command = try await asyncParseAsRoot(arguments)
            } catch {
                // What is missing is often there under a name that is not quite right.
                if exitCode(for: error) != .success { try Misspelling.check(optionsOf: arguments) }
                return try await answer(toParsing: error)
            }
            return try await run(command)
        } catch {
            StandardStreams.writeError(errorLine(error))
            return ExitStatus(of: error)
        }
    }

    private static func run(_ command: any ParsableCommand) async throws -> ExitStatus {
        do {
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                var command = command
                try command.run()
            }
        } catch {
            // Help about a command is a command too.
            guard exitCode(for: error) == .success else { throw error }
            return try await answer(toParsing: error)
        }
        return .success
    }

    /// Help and the version are asked for; everything else is a wrong call.
    private static func answer(toParsing error: any Error) async throws -> ExitStatus {
        guard exitCode(for: error) == .success else { throw UsageFailure(problem: message(for: error)) }
        try await Output(interruption: Interruption()).write(fullMessage(for: error) + "\n")
        return .success
    }
}

/// The program was called in a way that it does not know.
struct UsageFailure: ProgramError {
    let problem: String

    var status: ExitStatus { .usage }
    var description: String { "\(problem) (tidemark --help shows how)" }
}

import ArgumentParser

/// Real processes on a real database that are killed and stopped at random, and what they must have kept: `scripts/crash`.
@main
struct CrashTest: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scripts/crash",
        abstract: "Kills and stops writers and readers at random, and checks that nothing was lost or skipped.",
        subcommands: [
            SuperviseCommand.self, ServerKillsCommand.self, SilentServerCommand.self, WriterCommand.self,
            ReaderCommand.self, PuppetCommand.self, HeldUpCommand.self,
            ProcessorsCommand.self, ProcessorCommand.self, ProcessorRateCommand.self,
            AppendsCommand.self, AppenderCommand.self, AppendRateCommand.self, AppendWorkerCommand.self,
            PruneCommand.self, WaitLatencyCommand.self, PasserCommand.self, FilterRateCommand.self,
        ],
        defaultSubcommand: SuperviseCommand.self)
}

/// Why the run did not show what it has to.
struct Failure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

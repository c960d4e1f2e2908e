import ArgumentParser

/// `tidemark replication`: what has to do with what instances say to each other.
struct ReplicationGroup: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replication", abstract: "Looks at what instances say to each other.",
        subcommands: [WatchCommand.self])
}

import ArgumentParser
import Foundation
import Synchronization
import Tidemark

/// `tidemark replication watch`: writes down what instances say.
struct WatchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "watch",
        abstract: "Writes every command that is heard, and how far each stream is.",
        discussion: """
            Each command is written as the line that was heard. When positions have changed, at most once a second, a \
            line that begins with # says for the stream how far each writer is, and the least of these positions: an \
            estimate, since without a database nobody knows who is missing. Such lines also say when the connection was \
            gone and is back, and how many lines were skipped because they are no commands. Of rows of other software \
            only the size is written: they may hold access tokens and whatever else that software tells its own \
            processes. It goes on until it is interrupted, also while nobody can be reached.

            EXAMPLE:
              tidemark replication watch --replication redis://localhost:6379/example.org
            """)

    @OptionGroup var replication: RequiredReplicationOptions

    @Flag(help: "Write JSON objects, one a line.")
    var json = false

    @Flag(
        help: "Write the rows of other software too. They may hold valid access tokens, names and addresses of users.")
    var rows = false

    func run() async throws {
        let command = self
        try await Interruption.cancels(verbose: true) { output in
            let (transport, skippedLines) = try command.replication.transport()
            let report = WatchReport(format: command.json ? .json : .text, showsRows: command.rows)
            try await Watch(transport: transport, skippedLines: skippedLines, report: report, output: output).run()
        }
    }
}

/// `--replication`, for a command that has no database and so cannot find the others by itself.
struct RequiredReplicationOptions: ParsableArguments {
    @Option(
        name: .customLong("replication"),
        help: ArgumentHelp(
            "What to listen to: unix:PATH, the folder with the socket, tcp://host:port or redis://host:port[/CHANNEL].",
            valueName: "URL"))
    var way: String

    mutating func validate() throws {
        switch try Replication(parsing: way) {
        case .automatic, .none: throw ValidationError("--replication takes a place to listen to, not \(way)")
        default: break
        }
    }

    /// The transport, and how many lines it has skipped.
    ///
    /// - Throws: `ValidationError`.
    func transport() throws -> (any ReplicationTransport, @Sendable () -> Int) {
        let replication = try Replication(parsing: way)
        guard let watched = try replication.watchedTransport() else {
            throw ValidationError("--replication takes a place to listen to, not \(way)")
        }
        return watched
    }
}

/// `tidemark replication`: what has to do with what instances say to each other.
struct ReplicationGroup: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replication", abstract: "Looks at what instances say to each other.",
        subcommands: [WatchCommand.self])
}

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
            estimate, since without a database nobody knows who is missing. Access tokens are never written. It goes on \
            until it is interrupted, also while nobody can be reached.

            EXAMPLE:
              tidemark replication watch --replication redis://localhost:6379/example.org
            """)

    @OptionGroup var replication: RequiredReplicationOptions

    @Flag(help: "Write JSON objects, one a line.")
    var json = false

    func run() async throws {
        let command = self
        try await Interruption.cancels(verbose: true) { output in
            let transport = try command.replication.transport()
            let report = WatchReport(format: command.json ? .json : .text)
            try await Watch(transport: transport, report: report, output: output).run()
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

    /// - Throws: `ValidationError`.
    func transport() throws -> any ReplicationTransport {
        let replication = try Replication(parsing: way)
        // The transport makes it, so that one can begin to watch first: whoever has mistyped its name is told.
        if case .unix(let directory) = replication, access(directory, F_OK) != 0, errno == ENOENT {
            StandardStreams.writeError("tidemark: waiting: there was no folder \(directory)".onOneLine)
        }
        guard let transport = try replication.watchedTransport() else {
            throw ValidationError("--replication takes a place to listen to, not \(way)")
        }
        return transport
    }
}

import ArgumentParser
import Tidemark

/// Which writer is closed or retired.
struct WriterOptions: ParsableArguments {
    @OptionGroup var database: DatabaseOptions

    @Option(
        help: ArgumentHelp("The writer, whatever its heartbeat says.", valueName: "NAME"),
        transform: InstanceName.init(validating:))
    var instance: InstanceName

    /// Opens the database, has `body` change it, and writes what it says was done.
    func change(_ body: @Sendable (any ProgramStore) async throws -> String) async throws {
        setUpLogging(verbose: database.verbose)
        let store = try await database.openForChange()
        let done = try await store.closed {
            try await database.namingStreams(of: store) { try await body(store) }
        }
        try await Output(interruption: Interruption()).write(done + "\n")
    }
}

/// `tidemark close`: raises a writer's position by hand.
struct CloseCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "close",
        abstract: "Raises a writer's position to the sequence, so that readers do not wait for it.",
        discussion: """
            What the writer has under way is refused; under new IDs it may write on.

            EXAMPLE:
              tidemark close --database events.db --instance p1
            """)

    @OptionGroup var writer: WriterOptions

    func run() async throws {
        let (stream, instance) = (writer.database.stream, writer.instance)
        try await writer.change { store in
            let position = try await store.closeWriter(stream, instance: instance)
            return "closed \(instance) in stream \(stream): its position is \(position)"
        }
    }
}

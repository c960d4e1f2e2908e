import ArgumentParser
import Tidemark

/// `tidemark forget`: removes the name of a writer that left.
struct ForgetCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "forget",
        abstract: "Removes the name of a writer that left.",
        discussion: """
            Names are removed by themselves 30 days after their writers left, in PostgreSQL after 7 days. The events keep the name.

            EXAMPLE:
              tidemark forget --database events.db --instance p1
            """)

    @OptionGroup var writer: WriterOptions

    func run() async throws {
        let (stream, instance) = (writer.database.stream, writer.instance)
        try await writer.change { store in
            guard try await store.forget(stream, instance: instance) else {
                throw StillAMember(stream: stream, instance: instance)
            }
            return "forgot \(instance) in stream \(stream)"
        }
    }
}

/// A name that is in use cannot be forgotten.
struct StillAMember: ProgramError {
    let stream: StreamName
    let instance: InstanceName

    var status: ExitStatus { .tryLater }

    var description: String {
        "\(instance) is a writer of stream \(stream): end it, or retire it (tidemark retire), and try again"
    }
}

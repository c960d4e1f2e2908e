import ArgumentParser
import Tidemark

/// `tidemark retire`: takes a writer off the members by hand.
struct RetireCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "retire",
        abstract: "Takes a writer off those that readers count.",
        discussion: """
            Its epoch is over. When it still runs and nobody else took its name, it joins again by itself.

            EXAMPLE:
              tidemark retire --database events.db --instance p1
            """)

    @OptionGroup var writer: WriterOptions

    func run() async throws {
        let (stream, instance) = (writer.database.stream, writer.instance)
        try await writer.change { store in
            try await store.retire(stream, instance: instance)
            let status = try await store.status(of: stream, includingLeft: true)?.writers.first {
                $0.writer.instance == instance
            }
            let position = status.map { ": its position was \($0.position)" } ?? ""
            return "retired \(instance) in stream \(stream)\(position)"
        }
    }
}

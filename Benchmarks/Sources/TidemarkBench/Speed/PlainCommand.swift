import ArgumentParser
import Histogram

/// The process of a plain loop that writes without a pause, and leaves its turn to SQLite's own busy handler.
struct PlainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "plain", shouldDisplay: false)

    @Option var database: String
    @Option var prefix: String

    func run() async throws {
        let plain = try PlainDatabase(path: database)
        Participant.say(["ready"])
        for await command in Participant.commands {
            guard command.count == 3, command[0] == "saturate", let seconds = Double(command[1]),
                let batch = Int(command[2])
            else { throw Failure("a plain loop does not know \(command)") }
            let saturation = try Saturation.of(seconds: seconds) { _ in try plain.persist(batch, prefix: prefix) }
            Participant.say([saturation.line, "done"])
        }
    }
}

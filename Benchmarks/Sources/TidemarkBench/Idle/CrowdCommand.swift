import ArgumentParser
import Tidemark
import TidemarkReplication
import TidemarkSQLite

/// A process of many idle writers.
struct CrowdCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "crowd", shouldDisplay: false)

    @OptionGroup var participant: Participant
    /// The number of its first writer.
    @Option var first: Int
    @Option var count: Int

    func run() async throws {
        let names = try (first..<first + count).map { try InstanceName(validating: "idle\($0)") }
        let crowd = try await Crowd(SQLiteEventStore.open(path: participant.database), names: names)
        try await crowd.connect(UnixSocketTransport(besideDatabase: participant.database))
        Task {
            do { try await crowd.run() } catch { Participant.fail(error) }
        }
        Participant.say(["ready"])
        for await command in Participant.commands {
            switch command[0] {
            case "members":
                try await crowd.reconcile()
                Participant.say(["done"])
            case "messages":
                Participant.say(["\(crowd.sent)", "done"])
            default:
                throw Failure("a crowd does not know \(command[0])")
            }
        }
    }
}

import ArgumentParser
import Tidemark

/// `tidemark health`: one sentence, and a status for scripts.
struct HealthCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "health",
        abstract: "Says whether a stream is well, with a status for scripts.",
        discussion: """
            It ends with 0 when nobody has to look, and otherwise with 75 and what is wrong: events wait and the minimum has \
            not moved for longer than --standstill, an event has waited for a consumer for longer than --consumer-lag, or a \
            consumer has parked more events than --parked. It looks at the database; whether a service runs is for the service to say.

            EXAMPLE:
              tidemark health --database events.db --consumer-lag 60
            """)

    @OptionGroup var database: DatabaseOptions

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("For how many seconds the minimum may stand still while events wait.", valueName: "S"),
        transform: { try NumberOption.parse($0, in: 0...1_000_000, "seconds, from 0 to 1000000") })
    var standstill = 10.0

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "For how many seconds an event may wait for a consumer. (Otherwise for as long as it likes.)",
            valueName: "S"),
        transform: { try NumberOption.parse($0, in: 0...1_000_000, "seconds, from 0 to 1000000") })
    var consumerLag: Double?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "How many events a consumer may have parked, at most 99999. (Otherwise as many as it likes.)",
            valueName: "N"),
        transform: {
            let most = StreamStatus.ConsumerStatus.mostParked - 1
            return try NumberOption.parse($0, in: 0...most, "a number from 0 to \(most)")
        })
    var parked: Int?

    @Flag(help: "Write one JSON object on one line.")
    var json = false

    func run() async throws {
        let command = self
        try await Interruption.cancels(verbose: database.verbose, readerGone: .goesOn) { output in
            let health = try await command.database.readOnce {
                try await $0.health(of: command.database.stream, limits: command.limits)
            }
            if command.json { try await output.write(HealthReport(health: health).json + "\n") }
            if !health.isHealthy { throw NotHealthy(health: health) }
            if !command.json { try await output.write("\(health)\n") }
        }
    }

    private var limits: StreamHealth.Limits {
        var limits = StreamHealth.Limits()
        limits.standstill = .seconds(standstill)
        limits.consumerLag = consumerLag.map { .seconds($0) }
        limits.parked = parked
        return limits
    }
}

/// Somebody has to look.
struct NotHealthy: ProgramError {
    let health: StreamHealth

    var status: ExitStatus { .tryLater }
    var description: String { "stream \(health.stream): \(health)" }
}

/// What `health --json` writes.
struct HealthReport {
    let health: StreamHealth

    /// One JSON object without a newline, its members always in this order.
    var json: String {
        let consumers = health.consumers.map { consumer in
            "{\"name\":\(JSONString.quoted(consumer.name.rawValue)),\"position\":\(consumer.position)"
                + ",\"lag\":\(consumer.eventsBehind),\"behind_ms\":\(Int64(consumer.behindFor / .milliseconds(1)))"
                + ",\"parked\":\(consumer.parked)}"
        }
        let problems = health.problems.map { JSONString.quoted($0.description) }
        return "{\"stream\":\(JSONString.quoted(health.stream.rawValue)),\"healthy\":\(health.isHealthy)"
            + ",\"minimum_persisted\":\(health.minimum),\"newest_event\":\(health.newestEvent)"
            + ",\"standstill_ms\":\(Int64(health.standstill / .milliseconds(1))),\"members\":\(health.memberCount)"
            + ",\"problems\":[\(problems.joined(separator: ","))],\"consumers\":[\(consumers.joined(separator: ","))]}"
    }
}

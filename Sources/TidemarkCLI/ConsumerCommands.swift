import ArgumentParser
import Tidemark

/// `tidemark consumer`: the places that readers keep in the database.
struct ConsumerGroup: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "consumer",
        abstract: "Shows the consumers of a stream, and changes them.",
        subcommands: [
            ConsumerListCommand.self, ConsumerMoveCommand.self, ConsumerFilterCommand.self, ConsumerDeleteCommand.self,
            ConsumerParkedCommand.self, ConsumerRetryCommand.self, ConsumerDropCommand.self,
        ])
}

/// `tidemark consumer list`.
struct ConsumerListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "Shows what consumers there are, where, how far behind, and when they last moved.",
        discussion: """
            EXAMPLE:
              tidemark consumer list --database events.db
            """)

    @OptionGroup var database: DatabaseOptions

    @Flag(help: "Write one JSON object on one line.")
    var json = false

    func run() async throws {
        let command = self
        try await Interruption.cancels(verbose: database.verbose) { output in
            let store = try await command.database.openReadOnly()
            let status = try await store.closed {
                guard let status = try await store.status(of: command.database.stream) else {
                    throw await command.database.unknownStream(in: store)
                }
                return status
            }
            let report = ConsumerReport(status: status)
            try await output.write(command.json ? report.json + "\n" : report.text)
        }
    }
}

/// What `consumer list` shows, for programs and for people.
struct ConsumerReport {
    let status: StreamStatus

    /// One JSON object without a newline, its members always in this order.
    var json: String {
        let consumers = status.consumers.map { consumer in
            "{\"name\":\(JSONString.quoted(consumer.name.rawValue)),\"position\":\(consumer.position)"
                + ",\"lag\":\(status.lag(of: consumer))"
                + ",\"moved_ms_ago\":\(consumer.movedMillisecondsAgo.map(String.init) ?? "null")"
                + ",\"start\":\(consumer.start)"
                + ",\"filter\":\(consumer.filter == .all ? "null" : JSONString.quoted("\(consumer.filter)"))"
                + ",\"parked\":\(consumer.parked),\"in_use\":\(consumer.isInUse)"
                + ",\"process\":\(consumer.isInUse ? consumer.processID.map(String.init) ?? "null" : "null")}"
        }
        return "{\"stream\":\(JSONString.quoted(status.stream.rawValue))"
            + ",\"consumers\":[\(consumers.joined(separator: ","))]}"
    }

    /// A table, with a newline at the end.
    var text: String {
        guard !status.consumers.isEmpty else { return "stream \(status.stream) has no consumers\n" }
        return StatusReport.table(
            [["CONSUMER", "POSITION", "LAG", "MOVED", "PARKED", "IN USE BY", "EVENTS"]]
                + status.consumers.map { consumer in
                    [
                        "\(consumer.name)", "\(consumer.position)", "\(status.lag(of: consumer))",
                        consumer.movedMillisecondsAgo.map(StatusReport.age(milliseconds:)) ?? "",
                        StatusReport.parked(consumer), Self.user(of: consumer), "\(consumer.filter)",
                    ]
                })
    }

    private static func user(of consumer: StreamStatus.ConsumerStatus) -> String {
        guard consumer.isInUse else { return "nobody" }
        return consumer.processID.map { "process \($0)" } ?? "a process"
    }
}

extension StreamStatus {
    /// How many IDs a consumer is behind the newest event.
    func lag(of consumer: ConsumerStatus) -> Int64 { lag(at: consumer.position) }

    /// How many IDs a place is behind the newest event.
    func lag(at position: StreamID) -> Int64 { max(0, newestEvent.rawValue - position.rawValue) }
}

/// `tidemark consumer move`: the way out after a restored backup.
struct ConsumerMoveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "move",
        abstract: "Moves a consumer to another place, whatever its checkpoint says.",
        discussion: """
            Whoever reads under its name is stopped; the next one that does goes on from the new place. After a backup was \
            put back a consumer that had come further is an error until it is moved: what it has done for events that are \
            not there any more is yours to undo. It can be moved as far as everything is finished.

            EXAMPLE:
              tidemark consumer move mailer --database events.db --to 1200
            """)

    @OptionGroup var database: DatabaseOptions

    @Argument(help: ArgumentHelp("The consumer.", valueName: "NAME"), transform: ConsumerName.init(validating:))
    var consumer: ConsumerName

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Where it goes on: beginning, end, or after this stream ID.", valueName: "PLACE"),
        transform: ConsumerStart.init(argument:))
    var to: ConsumerStart

    func run() async throws {
        setUpLogging(verbose: database.verbose)
        let store = try await database.openForChange()
        let position = try await store.closed {
            try await database.namingStreams(of: store) {
                try await store.moveConsumer(consumer, in: database.stream, to: to)
            }
        }
        try await Output(interruption: Interruption()).write(
            "moved consumer \(consumer) of stream \(database.stream): it goes on after \(position)\n")
    }
}

/// `tidemark consumer filter`.
struct ConsumerFilterCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "filter",
        abstract: "Gives a consumer another filter, from its place on.",
        discussion: """
            Whoever reads under its name is stopped; the next one that does names the new filter. Without any, the consumer is \
            given all events.

            EXAMPLE:
              tidemark consumer filter mailer --database events.db --type order.placed --key-prefix shop/7/
            """)

    @OptionGroup var database: DatabaseOptions

    @Argument(help: ArgumentHelp("The consumer.", valueName: "NAME"), transform: ConsumerName.init(validating:))
    var consumer: ConsumerName

    @OptionGroup var filter: FilterOptions

    func run() async throws {
        setUpLogging(verbose: database.verbose)
        let filter = filter.filter
        let store = try await database.openForChange()
        try await store.closed {
            try await database.namingStreams(of: store) {
                try await store.changeFilter(of: consumer, in: database.stream, to: filter)
            }
        }
        try await Output(interruption: Interruption()).write(
            "consumer \(consumer) of stream \(database.stream) is given \(filter) from now on".onOneLine + "\n")
    }
}

/// `tidemark consumer delete`.
struct ConsumerDeleteCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "delete",
        abstract: "Removes a consumer with its place.",
        discussion: """
            One that a process has open is left alone, unless --take-over says otherwise: that stops it.

            EXAMPLE:
              tidemark consumer delete mailer --database events.db
            """)

    @OptionGroup var database: DatabaseOptions

    @Argument(help: ArgumentHelp("The consumer.", valueName: "NAME"), transform: ConsumerName.init(validating:))
    var consumer: ConsumerName

    @Flag(help: "Remove it although a process reads under its name.")
    var takeOver = false

    func run() async throws {
        setUpLogging(verbose: database.verbose)
        let store = try await database.openForChange()
        try await store.closed {
            try await database.namingStreams(of: store) {
                do {
                    try await store.deleteConsumer(consumer, in: database.stream, takingOver: takeOver)
                } catch TidemarkError.consumerInUse(let stream, let consumer, let holder) {
                    throw ConsumerInUse(stream: stream, consumer: consumer, holder: holder)
                }
            }
        }
        try await Output(interruption: Interruption()).write(
            "removed consumer \(consumer) of stream \(database.stream)\n")
    }
}

import ArgumentParser
import Tidemark

/// `tidemark consumer parked`.
struct ConsumerParkedCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "parked",
        abstract: "Shows the events that a consumer has passed without handling them, and why.",
        discussion: """
            With --json each line is one JSON object, with the event as `tail` writes it.

            EXAMPLE:
              tidemark consumer parked mailer --database events.db
            """)

    @OptionGroup var database: DatabaseOptions

    @Argument(help: ArgumentHelp("The consumer.", valueName: "NAME"), transform: ConsumerName.init(validating:))
    var consumer: ConsumerName

    @Flag(help: "Write one JSON object a line.")
    var json = false

    /// How many are read at once: what is parked may be much.
    private static let batch = 500

    func run() async throws {
        let command = self
        try await Interruption.cancels(verbose: database.verbose) { output in
            try await command.database.readOnce { try await command.write(from: $0, to: output) }
        }
    }

    private func write(from store: any ProcessorStore, to output: Output) async throws {
        let processor = ProcessorName(consumer, of: database.stream)
        var last: StreamID = 0
        while true {
            let events = try await store.parkedEvents(of: processor, after: last, limit: Self.batch)
            if last == 0, !json {
                try await output.write(
                    events.isEmpty
                        ? "consumer \(consumer) of stream \(database.stream) has parked nothing\n"
                        : "STREAM_ID\tREASON\tATTEMPTS\tRETRIED\tEVENT\tPROBLEM\n")
            }
            if events.isEmpty { return }
            var lines: [UInt8] = []
            for event in events { lines += (json ? Self.json(event) : Self.text(event)).utf8 }
            try await output.write(String(decoding: lines, as: UTF8.self))
            last = events.last?.streamID ?? last
            if events.count < Self.batch { return }
        }
    }

    private static func text(_ parked: ParkedEvent) -> String {
        let name = parked.event?.event.id ?? "in a table of its own"
        return
            "\(parked.streamID)\t\(parked.reason)\t\(parked.attempts)\t\(parked.isToBeRetried ? "soon" : "no")\t"
            + "\(name.onOneLine)\t\(parked.problem.onOneLine)\n"
    }

    private static func json(_ parked: ParkedEvent) -> String {
        var line: [UInt8] = []
        line += "{\"stream_id\":\(parked.streamID),\"reason\":\"\(parked.reason)\"".utf8
        line += ",\"attempts\":\(parked.attempts),\"is_to_be_retried\":\(parked.isToBeRetried)".utf8
        line += ",\"problem\":\(JSONString.quoted(parked.problem)),\"partition\":\(parked.partition)".utf8
        line += ",\"parked_at\":\"\(Timestamp.text(parked.parkedAtMilliseconds))\",\"line\":".utf8
        if let event = parked.event {
            OutputLine.append(event, to: &line)
            line.removeLast()
        } else {
            line += "null".utf8
        }
        line += "}\n".utf8
        return String(decoding: line, as: UTF8.self)
    }
}

/// Which parked events are meant.
struct ParkedSelection: ParsableArguments {
    @OptionGroup var database: DatabaseOptions

    @Argument(help: ArgumentHelp("The consumer.", valueName: "NAME"), transform: ConsumerName.init(validating:))
    var consumer: ConsumerName

    @Argument(help: ArgumentHelp("The stream IDs of the events.", valueName: "ID"), transform: Self.id)
    var ids: [StreamID] = []

    @Flag(help: "All that it has parked.")
    var all = false

    private static func id(_ text: String) throws -> StreamID {
        StreamID(try NumberOption.parse(text, in: 1 ... .max, "a stream ID, from 1 on"))
    }

    func validate() throws {
        if ids.isEmpty != all { throw ValidationError("name the stream IDs of events, or --all") }
    }

    /// Runs `body` with the store, the processor, and the IDs; nil for all.
    func run(
        _ verb: String, _ body: @Sendable (any ProgramStore, ProcessorName, [StreamID]?) async throws -> Int
    ) async throws {
        setUpLogging(verbose: database.verbose)
        let store = try await database.openForChange()
        let (database, processor, chosen) = (database, ProcessorName(consumer, of: database.stream), all ? nil : ids)
        let count = try await store.closed {
            try await database.namingStreams(of: store) { try await body(store, processor, chosen) }
        }
        try await Output(interruption: Interruption()).write(
            "\(verb) \(count) parked event\(count == 1 ? "" : "s") of consumer \(consumer) of stream \(database.stream)\n"
        )
    }
}

/// `tidemark consumer retry`.
struct ConsumerRetryCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "retry",
        abstract: "Has parked events tried again by a process that runs the consumer.",
        discussion: """
            It marks them, and no more: a process that runs the consumer finds them within a second or so. Those that \
            cannot be handled stay parked.

            EXAMPLE:
              tidemark consumer retry mailer 1200 1207 --database events.db
            """)

    @OptionGroup var selection: ParkedSelection

    func run() async throws {
        try await selection.run("marked") { try await $0.retryParked($2, of: $1) }
    }
}

/// `tidemark consumer drop`.
struct ConsumerDropCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drop",
        abstract: "Removes parked events for good: nobody handles them any more.",
        discussion: """
            EXAMPLE:
              tidemark consumer drop mailer --all --database events.db
            """)

    @OptionGroup var selection: ParkedSelection

    func run() async throws {
        try await selection.run("dropped") { try await $0.dropParked($2, of: $1) }
    }
}

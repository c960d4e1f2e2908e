import ArgumentParser
import Foundation
import Tidemark

/// `tidemark ingest`: a writer whose events come on standard input.
struct IngestCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ingest",
        abstract: "Persists the events that come on standard input.",
        discussion: """
            One JSON object a line, with a string "id", a string "type" and perhaps a string "key"; the payload is the \
            line itself. Blank lines, and byte order marks, are passed over. An event whose id is in the stream already is not written again. Joins as a writer under the \
            name of the instance, makes the file, or the tables, when they are not there, and leaves at the end of the input, or on \
            SIGINT or SIGTERM after what was read is persisted, or after \(Int(Interruption.limit / .seconds(1))) seconds all \
            the same: then a line on standard error says what could not be done, and readers pass it. With --print, \
            output that nobody reads any more ends it with an error: what comes after that is not persisted.

            EXAMPLE:
              tidemark ingest --database events.db --instance p1 < events.ndjson
            """)

    @OptionGroup var database: DatabaseOptions
    @OptionGroup var replication: ReplicationOptions

    @Option(
        name: .customLong("instance"),
        help: ArgumentHelp(
            """
            The name to write under (default: TIDEMARK_INSTANCE of the environment). Whoever has it already stops writing.
            """, valueName: "NAME"),
        transform: InstanceName.init(validating:))
    private var instanceArgument: InstanceName?

    @Option(
        parsing: .unconditional, help: ArgumentHelp("The most events in one transaction.", valueName: "N"),
        transform: { try NumberOption.parse($0, in: 1...10_000, "a number from 1 to 10000") })
    var batch = 500

    @Option(
        parsing: .unconditional, help: ArgumentHelp("The most bytes in a line.", valueName: "BYTES"),
        transform: {
            try NumberOption.parse(
                $0, in: 1...Self.largestPayload, "a number of bytes from 1 to \(Self.largestPayload)")
        })
    var maxPayload = 1 << 20

    @Flag(help: "Write STREAM_ID<TAB>EVENT_ID for each event once it is durable.")
    var print = false

    @Flag(help: "Leave out lines that are no events, and say at the end how many.")
    var skipInvalid = false

    private static let largestPayload = 256 << 20

    /// - Throws: `ValidationError`, or ``InvalidVariable``.
    private var instance: InstanceName {
        get throws {
            if let instanceArgument { return instanceArgument }
            guard let instance = try ProgramEnvironment.parsed("instance", InstanceName.init(validating:)) else {
                throw ValidationError("give --instance NAME, or set TIDEMARK_INSTANCE in the environment")
            }
            return instance
        }
    }

    func validate() throws { _ = try instance }

    func run() async throws {
        setUpLogging(verbose: database.verbose)
        let interruption = try Interruption(of: .writer)
        interruption.listen()
        let store = try await database.openForWriting()
        try await store.closed { try await ingest(into: store, interruption) }
    }

    private func ingest(into store: any ProgramStore, _ interruption: Interruption) async throws {
        var configuration = EventLogConfiguration()
        configuration.limits.payloadBytes = maxPayload
        let log = try await EventLog.open(
            store, stream: database.stream, instance: instance,
            transport: try replication.replication.transport(for: database.stream, of: store),
            configuration: configuration)
        let input = EventInput(
            parser: EventLineParser(stream: database.stream, limits: configuration.limits), skipsInvalid: skipInvalid,
            batch: batch, interruption: interruption)
        // A reader of what --print says learns from it what is durable.
        let output = Output(interruption: interruption, readerGone: .fails)
        // It would run into what is typed.
        let isTyped = isatty(STDIN_FILENO) == 1
        let progress = Progress(label: "persisted", isShown: Progress.isTerminal && !isTyped)
        defer { reportSkipped(input.skippedLines) }
        try await progress.shown {
            try await log.running(until: interruption) {
                input.start()
                if isTyped {
                    StandardStreams.writeError(
                        "tidemark: reading events from the terminal, one JSON object a line, such as "
                            + "{\"id\":\"1\",\"type\":\"greeting\"}; Ctrl-D ends it")
                }
                var prints = print
                // One group after the other: their IDs ascend as the input does, and where one fails none after it is
                // written. Reading and parsing go on meanwhile.
                while let events = try await input.next(upTo: batch) {
                    let ids = try await log.persist(events)
                    progress.add(events.count)
                    guard prints else { continue }
                    do {
                        try await output.write(Self.lines(ids, events))
                    } catch is CancellationError where interruption.isRequested {
                        // Nobody takes the lines: what was read is persisted all the same.
                        prints = false
                    }
                }
            }
        }
    }

    /// A line for each event: its stream ID and its own.
    private static func lines(_ ids: [StreamID], _ events: [Event]) -> [UInt8] {
        var lines: [UInt8] = []
        for (id, event) in zip(ids, events) {
            lines += "\(id)\t\(event.id.onOneLine)\n".utf8
        }
        return lines
    }

    private func reportSkipped(_ count: Int) {
        guard count > 0 else { return }
        StandardStreams.writeError("tidemark: \(count) invalid line\(count == 1 ? " was" : "s were") skipped")
    }
}

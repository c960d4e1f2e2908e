import ArgumentParser
import Foundation
import Tidemark

/// `tidemark tail`: a background reader.
struct TailCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tail",
        abstract: "Writes the events of a stream to standard output, in order.",
        discussion: """
            One JSON object a line, each event once, as far as all writers have promised: \
            {"stream_id":12,"instance":"p1","persisted_at":"...Z","event":{...the line as it was...}}. Ends at the event \
            that was the highest when it began; with --follow it goes on, and waits for a database that is not there \
            yet.

            EXAMPLE:
              tidemark tail --database events.db --after 1200 --follow
            """)

    @OptionGroup var database: DatabaseOptions
    @OptionGroup var replication: ReplicationOptions

    @Option(
        parsing: .unconditional, help: ArgumentHelp("Begin after this stream ID.", valueName: "ID"),
        transform: NumberOption.streamID)
    var after: Int64?

    @Flag(help: "Go on with the events that come.")
    var follow = false

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Without --follow: the longest wait for a writer that holds the next event back, in seconds.",
            valueName: "S"),
        transform: { try NumberOption.parse($0, in: 0...1_000_000, "seconds, from 0 to 1000000") })
    var timeout = 10.0

    @Option(
        help: ArgumentHelp("Keep the place in the database under this name, and begin there.", valueName: "NAME"),
        transform: ConsumerName.init(validating:))
    var consumer: ConsumerName?

    @Flag(help: "With --consumer: stop another process that reads under that name, and go on in its place.")
    var takeOver = false

    @Flag(help: "With --consumer: wait until the process that reads under that name is gone.")
    var standBy = false

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "With --consumer, where it begins when it is new: beginning, end, or after this stream ID.",
            valueName: "PLACE"),
        transform: ConsumerStart.init(argument:))
    var from: ConsumerStart?

    @OptionGroup(title: "With --consumer, which keeps them") var filter: FilterOptions

    mutating func validate() throws {
        if after != nil, consumer != nil {
            throw ValidationError("--after does not go with --consumer, which begins at its place")
        }
        let others = [
            ("--take-over", takeOver), ("--stand-by", standBy), ("--from", from != nil),
            ("--type, --key and --key-prefix", filter.isGiven),
        ]
        if consumer == nil, let other = others.first(where: \.1) {
            throw ValidationError("\(other.0) \(other.0.contains(" ") ? "go" : "goes") with --consumer")
        }
        if takeOver, standBy { throw ValidationError("--take-over does not go with --stand-by") }
    }

    func run() async throws {
        let progress = Progress(label: "read", isShown: follow && Progress.isTerminal && !Output.isTerminal)
        let command = self
        try await Interruption.cancels(verbose: database.verbose) { output in
            try await progress.shown { try await command.tail(output, progress) }
        }
    }

    private func tail(_ output: Output, _ progress: Progress) async throws {
        let (store, isReadOnly) = try await openStore()
        try await store.closed { try await tail(store, isReadOnly: isReadOnly, output, progress) }
    }

    private func tail(
        _ store: any ProgramStore, isReadOnly: Bool, _ output: Output, _ progress: Progress
    ) async throws {
        let newest = try await newestEvent(store)
        let end = follow ? nil : newest
        if end == 0 { return }
        let log = try await openLog(store, isReadOnly: isReadOnly)
        let tail = Tail(log: log, output: output, progress: progress, end: end, timeout: .seconds(timeout))
        let (after, consumer, start, filter) = (after ?? 0, consumer, from ?? .beginning, filter.filter)
        let whenTaken: WhenTaken = takeOver ? .takeOver : standBy ? .standBy : .fail
        try await log.running {
            if let consumer {
                try await tail.run(as: consumer, from: start, filter: filter, whenTaken: whenTaken)
            } else {
                try await tail.run(after: StreamID(after))
            }
        }
    }

    /// 0 for a stream that is not there yet, which is waited for: whoever has mistyped its name is told.
    private func newestEvent(_ store: any ProgramStore) async throws -> StreamID {
        if let status = try await store.status(of: database.stream) {
            if let after, after > status.sequence.rawValue {
                throw PlaceAhead(stream: database.stream, after: StreamID(after), sequence: status.sequence)
            }
            return status.newestEvent
        }
        let error = await database.unknownStream(in: store)
        guard follow else { throw error }
        Self.waits(because: error)
        return 0
    }

    private static func waits(because error: any Error) {
        StandardStreams.writeError("tidemark: waiting: " + "\(error)".onOneLine)
    }

    /// The database; with `--follow`, once it is there with its schema.
    private func openStore() async throws -> (store: any ProgramStore, isReadOnly: Bool) {
        var told: TidemarkError?
        var wasThere = false
        while true {
            do {
                let opened = try await database.openForReading()
                if consumer != nil, opened.isReadOnly { throw TidemarkError.readOnly(store: opened.store.description) }
                return opened
            } catch let error as TidemarkError {
                guard follow, case .storeUnavailable = error else { throw error }
                switch try await database.outlook() {
                case .needsSomebody: throw error
                case .isThere:
                    // A writer may have made it since it was not found: that is told by one more attempt.
                    if wasThere { throw error }
                    wasThere = true
                case .mayCome:
                    wasThere = false
                    if told != error { Self.waits(because: error) }
                    told = error
                }
            }
            try await Task.sleep(for: .milliseconds(200))
        }
    }

    private func openLog(_ store: any ProgramStore, isReadOnly: Bool) async throws -> EventLog {
        // Only who may write can connect to the socket beside the database; the others ask the database.
        let way = try replication.replication
        let isWithoutSocket = isReadOnly && way == .automatic
        return try await EventLog.open(
            store, stream: database.stream,
            transport: isWithoutSocket ? nil : try way.transport(for: database.stream, of: store))
    }
}

/// The place to begin after is above everything that the stream has ever given out (rule 7).
struct PlaceAhead: ProgramError {
    let stream: StreamName
    let after: StreamID
    let sequence: StreamID

    var status: ExitStatus { .badData }

    var description: String {
        "stream \(stream) is at \(sequence), and nothing can be read after \(after): what comes next would be left out; if it "
            + "was read up to there before, an older database was put back"
    }
}

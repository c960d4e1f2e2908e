import ArgumentParser
import Tidemark

/// `tidemark events`: what there is of one key.
struct EventsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "events",
        abstract: "Writes the events of one key to standard output, in order.",
        discussion: """
            One JSON object a line, as `tail` writes it, up to what is committed when it began: events are among them that \
            `tail` waits for. The stream needs an index of keys (tidemark index).

            EXAMPLE:
              tidemark events --database events.db --key account-17
            """)

    @OptionGroup var database: DatabaseOptions

    @Option(parsing: .unconditional, help: ArgumentHelp("The key, byte for byte.", valueName: "KEY"))
    var key: String

    @Option(
        parsing: .unconditional, help: ArgumentHelp("Begin after this stream ID.", valueName: "ID"),
        transform: NumberOption.streamID)
    var after: Int64?

    /// How many events, and how many bytes of them, are read at once.
    private static let page = (events: 500, bytes: 8 << 20)

    func run() async throws {
        let command = self
        try await Interruption.cancels(verbose: database.verbose) { output in
            try await command.database.readOnce { try await command.write(from: $0, to: output) }
        }
    }

    private func write(from store: any ProgramStore, to output: Output) async throws {
        var last = StreamID(after ?? 0)
        // Up to what is there now: others may go on writing to the key.
        let end = try await store.status(of: database.stream)?.newestEvent ?? 0
        while true {
            let events = try await store.events(
                ofKey: key, in: database.stream, after: last, limit: Self.page.events, byteLimit: Self.page.bytes)
            var lines: [UInt8] = []
            for event in events where event.streamID <= end { OutputLine.append(event, to: &lines) }
            try await output.write(lines)
            guard let next = events.last?.streamID, next < end else { return }
            last = next
        }
    }
}

/// `tidemark index`: builds the index of keys of a stream.
struct IndexCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "index",
        abstract: "Builds the index of keys of a stream, while its writers go on.",
        discussion: """
            With it a program finds all events of a key, and persists events only if nothing was added to their key. It is \
            built in small transactions. One that was stopped is taken up where it was by the same command; one that is \
            complete stays as it is. It takes room in the database, and each event with a key a little more time.

            EXAMPLE:
              tidemark index --database events.db
            """)

    @OptionGroup var database: DatabaseOptions

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("How many events one transaction takes in: writers wait for as long.", valueName: "N"),
        transform: { try NumberOption.parse($0, in: 1...100_000, "a number from 1 to 100000") })
    var batch = 500

    func run() async throws {
        let progress = Progress(label: "taken in", isShown: Progress.isTerminal)
        let command = self
        try await Interruption.cancels(verbose: database.verbose, readerGone: .goesOn) { output in
            let stream = command.database.stream
            let taken = try await InterruptedWork.telling(
                "the index of keys of stream \(stream) is not complete yet; the same command takes it up"
            ) {
                let store = try await command.database.openForChange()
                return try await store.closed {
                    try await command.database.namingStreams(of: store) {
                        try await progress.shown { try await command.build(in: store, progress) }
                    }
                }
            }
            try await output.write(
                taken
                    ? "the index of keys of stream \(command.database.stream) is complete\n"
                    : "the index of keys of stream \(command.database.stream) was complete already\n")
        }
    }

    /// Whether there was something to do.
    private func build(in store: any ProgramStore, _ progress: Progress) async throws -> Bool {
        if try await store.keyIndex(of: database.stream) == .complete { return false }
        let batch = batch
        try await store.completeKeyIndex(of: database.stream, rows: batch) { _ in progress.add(batch) }
        return true
    }
}

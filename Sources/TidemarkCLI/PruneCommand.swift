import ArgumentParser
import Foundation
import Tidemark

/// `tidemark prune`: removes the beginning of a stream.
struct PruneCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prune",
        abstract: "Removes the beginning of a stream, in small steps beside writers and readers.",
        discussion: """
            It goes no further than every consumer has passed and every writer has promised. Where that is less than was \
            asked for, it names who holds it back and ends with 75: --through has removed nothing then, and the other \
            two what they could. The ids of the events stay, without their payloads, so that persisting one again \
            writes nothing; --forget-ids removes them too, also those that were left before. Readers that are below \
            get an error that says where the stream begins.

            EXAMPLE:
              tidemark prune --database events.db --older-than 30d
            """)

    @OptionGroup var database: DatabaseOptions

    @Option(
        parsing: .unconditional, help: ArgumentHelp("Remove everything up to this ID.", valueName: "ID"),
        transform: { try NumberOption.parse($0, in: 1 ... .max, "a stream ID, from 1 on") })
    var through: Int64?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Remove what comes before the first event that is younger: a number and s, m, h or d.", valueName: "30d"),
        transform: Self.age)
    var olderThan: Int64?

    @Option(
        parsing: .unconditional, help: ArgumentHelp("Remove all but the newest events.", valueName: "N"),
        transform: { try NumberOption.parse($0, in: 0...1_000_000_000_000, "a number of events, from 0 on") })
    var keep: Int?

    @Option(
        help: ArgumentHelp(
            "A consumer that is abandoned: it holds nothing back, and is stopped. May be repeated.", valueName: "NAME"),
        transform: ConsumerName.init(validating:))
    var ignoring: [ConsumerName] = []

    @Flag(help: "Remove the ids of the events, too.")
    var forgetIds = false

    mutating func validate() throws { _ = try extent }

    private var extent: PruneExtent {
        get throws {
            let extents: [PruneExtent?] = [
                through.map { .through(StreamID($0)) },
                olderThan.map { .before(Date(timeIntervalSinceNow: -Double($0))) }, keep.map { .keeping($0) },
            ]
            let given = extents.compactMap(\.self)
            guard given.count == 1 else {
                throw ValidationError("give one of --through, --older-than and --keep")
            }
            return given[0]
        }
    }

    /// In seconds.
    @Sendable private static func age(_ text: String) throws -> Int64 {
        let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3_600, "d": 86_400]
        guard let last = text.last, let unit = units[last], let count = Int64(text.dropLast()),
            (0...1_000_000).contains(count)
        else { throw ValidationError("give a number up to 1000000 and s, m, h or d, such as 30d") }
        return count * unit
    }

    func run() async throws {
        let (command, extent) = (self, try extent)
        try await Interruption.cancels(verbose: database.verbose, readerGone: .goesOn) { output in
            let stream = command.database.stream
            let (result, heldBack) = try await InterruptedWork.telling(
                "what was removed of stream \(stream) until then stays removed; the same command goes on"
            ) {
                let store = try await command.database.openForChange()
                return try await store.closed {
                    try await command.database.namingStreams(of: store) { try await command.prune(store, extent) }
                }
            }
            try await output.write(command.line(result))
            if let heldBack { throw heldBack }
        }
    }

    /// As far as it goes, where it is not told how far; and who holds it back then.
    private func prune(
        _ store: any ProgramStore, _ extent: PruneExtent
    ) async throws -> (PruneResult, (any Error)?) {
        func prune(_ extent: PruneExtent) async throws -> PruneResult {
            try await store.prune(
                database.stream, extent, ignoring: Set(ignoring), forgettingIDs: forgetIds)
        }
        do {
            return (try await prune(extent), nil)
        } catch TidemarkError.pruneHeldBack(_, let id, let holder, let place) where through == nil {
            return (
                try await prune(.through(place)), PruneHeldBack(stream: database.stream, id: id, by: holder, at: place)
            )
        }
    }

    private func line(_ result: PruneResult) -> String {
        var line =
            "pruned stream \(database.stream): \(result.events) event\(result.events == 1 ? "" : "s") removed, "
            + (result.through == 0 ? "nothing was before" : "it begins after \(result.through)")
        if let space = result.space {
            line += "; \(space.givenBack) bytes given back"
            if space.free > 0 {
                line += ", \(space.free) are free for new events"
                if !space.canBeGivenBack {
                    line +=
                        " (to give them back, stop every program and run once: sqlite3 FILE 'PRAGMA auto_vacuum = "
                        + "INCREMENTAL; VACUUM')"
                }
            }
        }
        return line + "\n"
    }
}

/// A signal came before it was done: whoever called it in a script is not to go on as if it were.
struct InterruptedWork: ProgramError {
    let what: String

    static func telling<Value>(_ what: String, _ work: () async throws -> Value) async throws -> Value {
        do { return try await work() } catch is CancellationError { throw InterruptedWork(what: what) }
    }

    var status: ExitStatus { .tryLater }
    var description: String { "interrupted: " + what }
}

/// Less was removed than was asked for.
struct PruneHeldBack: ProgramError {
    let stream: StreamName
    let id: StreamID
    let by: PruneHolder
    let at: StreamID

    var status: ExitStatus { .tryLater }
    var description: String {
        "stream \(stream) was to be pruned up to \(id), and was up to \(at): \(by) is there, and holds it back"
    }
}

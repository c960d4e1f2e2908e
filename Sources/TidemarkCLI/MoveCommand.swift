import ArgumentParser
import Foundation
import Tidemark

/// `tidemark move`: the same stream in another database.
struct MoveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "move",
        abstract: "Moves a stream to another database, of the same engine or another.",
        discussion: """
            Events, tombstones and their IDs, epochs, consumers with their places, their partitions and what they have parked \
            go there, and what pruning has left. Writers go on while what can \
            change no more is copied. Then the old database refuses everybody and says where the stream went, and the new \
            one lets them in when every row was compared: start the programs again with the new address.

            A move that was stopped is taken up again by the same command, or taken back with --take-back. A stream can \
            be moved back to where it came from. Rows in tables of your own, under IDs of the stream, you move yourself. \
            In PostgreSQL it takes the rights of the tables' owner.

            EXAMPLE:
              tidemark move --from events.db --to postgres://db.example.org/app
            """)

    @Option(help: ArgumentHelp("The database that has the stream, as for --database.", valueName: "DB"))
    var from: String

    @Option(help: ArgumentHelp("The database that gets it. A file is made where it is missing.", valueName: "DB"))
    var to: String

    @Option(help: ArgumentHelp("The namespace in PostgreSQL that has it (default: tidemark).", valueName: "NAME"))
    var fromNamespace: String?

    @Option(help: ArgumentHelp("The namespace in PostgreSQL that gets it (default: tidemark).", valueName: "NAME"))
    var toNamespace: String?

    @Option(
        help: ArgumentHelp("The stream (default: events).", valueName: "NAME"),
        transform: StreamName.init(validating:))
    var stream: StreamName = "events"

    @Flag(help: "Take a move back that has not come to its end.")
    var takeBack = false

    @Flag(help: "Show warnings of the library on standard error.")
    var verbose = false

    mutating func validate() throws {
        _ = try locations
        guard try locations.source != locations.destination else {
            throw ValidationError("--from and --to name the same database")
        }
    }

    private var locations: (source: DatabaseLocation, destination: DatabaseLocation) {
        get throws {
            (
                try DatabaseLocation(parsing: from, namespace: fromNamespace).absolute,
                try DatabaseLocation(parsing: to, namespace: toNamespace).absolute
            )
        }
    }

    func run() async throws {
        setUpLogging(verbose: verbose)
        let (source, destination) = try locations
        let here = try await source.openForMove(creates: false)
        let line = try await here.closed {
            let there = try await destination.openForMove(creates: !takeBack)
            return try await there.closed { try await move(here, there) }
        }
        try await Output(interruption: Interruption()).write(line + "\n")
    }

    private func move(_ here: any ProgramStore & MovableStore, _ there: any ProgramStore & MovableStore) async throws
        -> String
    {
        let move = StreamMove(stream, from: here, to: there)
        if takeBack {
            try await move.cancel()
            return "stream \(stream) stays in \(here)"
        }
        let report = try await move.run()
        let place =
            "stream \(stream) is in \(there): \(Self.count(report.consumers, "consumer")), the sequence is at "
            + "\(report.sequence)"
        if report.wasDone { return place + "; it had been moved before" }
        let digest = String(report.digest, radix: 16)
        let rows = [
            Self.count(report.events, "event"), Self.count(report.tombstones, "tombstone"),
            report.prunedEvents == 0 ? nil : Self.count(report.prunedEvents, "id") + " of pruned events",
            report.parked == 0 ? nil : Self.count(report.parked, "parked event"),
            report.externalEvents == 0 ? nil : Self.count(report.externalEvents, "event") + " in tables of your own",
        ].compactMap(\.self).joined(separator: ", ")
        let resumed = report.resumedAfter.map { "; it was taken up after ID \($0)" } ?? ""
        return place + "; " + rows + " were compared, digest " + String(repeating: "0", count: 16 - digest.count)
            + digest
            + resumed
    }

    private static func count(_ count: Int, _ what: String) -> String { "\(count) \(what)\(count == 1 ? "" : "s")" }
}

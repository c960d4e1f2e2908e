import ArgumentParser
import Foundation
import Tidemark

/// `tidemark status`: how far readers may read, who holds them back, and what the writers and consumers do.
struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Shows how far a stream can be read, and who holds readers back.",
        discussion: """
            It shows what the database says; a running reader may have heard of more already. EPOCH counts the joins of \
            a name and their ends: a writer that joined, left and joined again is in its third.

            EXAMPLE:
              tidemark status --database events.db --watch
            """)

    @OptionGroup var database: DatabaseOptions

    @Flag(help: "Write one JSON object on one line.")
    var json = false

    @Flag(help: "Show it again every second, until interrupted.")
    var watch = false

    @Flag(help: "Show writers that left, too.")
    var all = false

    func run() async throws {
        let command = self
        try await Interruption.cancels(verbose: database.verbose) { output in
            let store = try await command.database.openReadOnly()
            try await store.closed { try await command.show(store, output) }
        }
    }

    private func show(_ store: any ProgramStore, _ output: Output) async throws {
        let clock = ContinuousClock()
        var next = clock.now
        // The cursor to the upper left corner, and everything cleared.
        let beginning = watch && !json && Output.isTerminal ? "\u{1B}[H\u{1B}[2J" : ""
        while true {
            guard let status = try await store.status(of: database.stream, includingLeft: all) else {
                throw await database.unknownStream(in: store)
            }
            let report = StatusReport(status: status)
            try await output.write(beginning + (json ? report.json + "\n" : report.text))
            if !watch { return }
            if beginning.isEmpty, !json { try await output.write("\n") }
            next = max(next + .seconds(1), clock.now)
            try await clock.sleep(until: next)
        }
    }
}

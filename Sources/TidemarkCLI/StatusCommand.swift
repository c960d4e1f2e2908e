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

    @Flag(
        help: """
            Show it again every second, until interrupted: at a terminal on one screen, with what has changed, and without \
            colours where NO_COLOR is set.
            """)
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
        let began = clock.now
        var next = began
        let isScreen = watch && !json && Output.isTerminal
        var screen = StatusScreen()
        // Everything is cleared once; after that each line takes the place of the one before, and nothing flickers.
        var beginning = "\u{1B}[2J"
        while true {
            guard let status = try await store.status(of: database.stream, includingLeft: all) else {
                throw await database.unknownStream(in: store)
            }
            if isScreen {
                let lines = screen.lines(
                    status, now: clock.now - began, time: Self.timeOfDay, .current)
                try await output.write(
                    beginning + "\u{1B}[H" + lines.map { $0 + "\u{1B}[K\n" }.joined() + "\u{1B}[J")
                beginning = ""
            } else {
                let report = StatusReport(status: status)
                try await output.write(json ? report.json + "\n" : report.text)
                if watch, !json { try await output.write("\n") }
            }
            if !watch { return }
            next = max(next + .seconds(1), clock.now)
            try await clock.sleep(until: next)
        }
    }

    /// Where the program runs.
    private static var timeOfDay: String {
        var (now, parts) = (time(nil), tm())
        localtime_r(&now, &parts)
        return String(format: "%02d:%02d:%02d", parts.tm_hour, parts.tm_min, parts.tm_sec)
    }
}

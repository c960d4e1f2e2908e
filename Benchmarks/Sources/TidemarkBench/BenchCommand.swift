import ArgumentParser
import BenchReport
import Foundation

@main
struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tidemark-bench", abstract: "Measures Tidemark on this machine.",
        discussion: """
            Starts real processes: eight writers and a background reader for each scenario, on one SQLite file, and \
            feeds them the commits of a public repository. Lag is the time from the return of an event's commit in its \
            writer to the event's arrival in the reader's process.
            """,
        subcommands: [
            RunCommand.self, WorkerCommand.self, ReaderCommand.self, PlainCommand.self, PlainServerCommand.self,
            CrowdCommand.self,
        ],
        defaultSubcommand: RunCommand.self)
}

struct BenchOptions: Sendable {
    let folder: URL
    let data: String
    /// How long the paced scenarios go on.
    let seconds: Int
    /// Nil where files are measured.
    var server: BenchServer?
}

struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "run", abstract: "Runs the scenarios (the default).")

    @Option(help: "Writes the figures there, as JSON with flat names.") var json: String?
    @Option(help: "Writes a page with tables and plots there.") var html: String?
    @OptionGroup var origin: Origin
    @Option(
        help:
            "What is measured: sqlite, postgres (a server that is started for it), or a server: postgres://…/postgres.")
    var database = "sqlite"
    @Option(help: "The folder for databases, on the disk that is to be measured.") var directory: String?
    @Option(help: "The events, as lines of JSON.") var data = "Data/commits.ndjson"
    @Flag(help: "A quarter of the time, to see that all is well.") var short = false
    @Flag(help: "Fails when a figure of the scenarios that were run misses its bar.") var check = false
    @Option(help: "Runs only these scenarios: \(Scenario.allCases.map(\.rawValue).joined(separator: ", ")).")
    var only: [Scenario] = []
    @Option(help: "With --check: by what factor times may be longer.") var slack = 1.0

    func run() async throws {
        signal(SIGPIPE, SIG_IGN)
        Leftovers.ofThisProcess.clearOnSignals()
        defer { Leftovers.ofThisProcess.clear() }
        var options = BenchOptions(
            folder: directory.map { URL(filePath: $0) } ?? FileManager.default.temporaryDirectory, data: data,
            seconds: short ? 3 : 12)
        endLate(after: .seconds(short ? 400 : 1_500))
        var report = Report()
        origin.note(in: &report, isShort: short, slack: slack)
        try Machine(folder: options.folder).note(in: &report)
        let isOnServer = database != "sqlite"
        if isOnServer {
            let server = try await BenchServer(database, folder: options.folder)
            try server.note(in: &report)
            options.server = server
        }
        let scenarios = Scenario.allCases.filter {
            $0.needsServer == isOnServer && (only.isEmpty || only.contains($0))
        }
        for scenario in scenarios {
            progress(scenario.explanation)
            try await scenario.run(options, into: &report)
        }

        let bars = Thresholds(slack: slack).bars(for: report, scenarios: scenarios)
        print(report.table)
        if let json { try report.json(bars: bars).write(toFile: json, atomically: true, encoding: .utf8) }
        if let html {
            try report.page(bars: bars).write(toFile: html, atomically: true, encoding: .utf8)
            print("\nThe report is in \(html).")
        }
        guard check else { return }
        let missed = bars.filter { !$0.isMet }
        for bar in missed { progress(bar.sentence) }
        if !missed.isEmpty { throw ExitCode.failure }
        print("\nAll bars are met\(slack == 1 ? "" : ", with times of up to \(slack) times as long").")
    }

    /// Whatever hangs, the run does not.
    private func endLate(after limit: Duration) {
        Task {
            try await Task.sleep(for: limit)
            progress("not done within \(limit), giving up")
            Leftovers.ofThisProcess.clear()
            Foundation.exit(75)
        }
    }

    private func progress(_ text: String) {
        FileHandle.standardError.write(Data("tidemark-bench: \(text)\n".utf8))
    }
}

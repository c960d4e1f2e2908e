import ArgumentParser
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
        subcommands: [RunCommand.self, WorkerCommand.self, ReaderCommand.self, PlainCommand.self],
        defaultSubcommand: RunCommand.self)
}

struct BenchOptions: Sendable {
    let folder: URL
    let data: String
    /// How long the paced scenarios go on.
    let seconds: Int
}

struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "run", abstract: "Runs the scenarios (the default).")

    @Option(help: "Writes the figures there, as JSON with flat names.") var json: String?
    @Option(help: "The folder for databases, on the disk that is to be measured.") var directory: String?
    @Option(help: "The events, as lines of JSON.") var data = "Data/commits.ndjson"
    @Flag(help: "A quarter of the time, to see that all is well.") var short = false
    @Flag(help: "Fails when a figure misses its bar.") var check = false
    @Option(help: "Runs only these scenarios: \(Scenario.allCases.map(\.rawValue).joined(separator: ", ")).")
    var only: [Scenario] = []
    @Option(help: "With --check: by what factor times may be longer.") var slack = 1.0

    func run() async throws {
        signal(SIGPIPE, SIG_IGN)
        let options = BenchOptions(
            folder: directory.map { URL(filePath: $0) } ?? FileManager.default.temporaryDirectory, data: data,
            seconds: short ? 3 : 12)
        endLate(after: .seconds(short ? 240 : 600))
        var report = Report()
        for scenario in Scenario.allCases where only.isEmpty || only.contains(scenario) {
            progress(scenario.explanation)
            try await scenario.run(options, into: &report)
        }

        print(report.table)
        if let json { try report.json.write(toFile: json, atomically: true, encoding: .utf8) }
        guard check else { return }
        let missed = Thresholds(slack: slack).missed(by: report)
        for sentence in missed { progress(sentence) }
        if !missed.isEmpty { throw ExitCode.failure }
        print("\nAll bars are met\(slack == 1 ? "" : ", with times of up to \(slack) times as long").")
    }

    /// Whatever hangs, the run does not: the children end with it, because their input does.
    private func endLate(after limit: Duration) {
        Task {
            try await Task.sleep(for: limit)
            progress("not done within \(limit), giving up")
            Foundation.exit(75)
        }
    }

    private func progress(_ text: String) {
        FileHandle.standardError.write(Data("tidemark-bench: \(text)\n".utf8))
    }
}

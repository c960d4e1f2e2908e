import ArgumentParser
import Foundation

/// What was measured, as far as the program cannot tell by itself.
struct Origin: ParsableArguments {
    @Option(help: "For the report: the revision that was built.") var revision: String?
    @Option(help: "For the report: the compiler that built it.") var toolchain: String?
    @Option(help: "For the report: the Package.resolved with the versions of what it was built with.")
    var resolved: String?

    func note(in report: inout Report, isShort: Bool, slack: Double) {
        report.setFact("date", Date.now.formatted(.iso8601))
        report.setFact("revision", revision ?? "not told")
        report.setFact("compiler", toolchain ?? "not told")
        if let versions { report.setFact("built with", versions) }
        report.setFact("length", isShort ? "short: a quarter of the time" : "full")
        if slack != 1 { report.setFact("slack", "times may be \(slack) times as long") }
    }

    private struct Pins: Decodable {
        struct Pin: Decodable {
            struct State: Decodable { let version: String? }
            let identity: String
            let state: State
        }
        let pins: [Pin]
    }

    /// Those that carry the figures.
    private var versions: String? {
        guard let resolved, let data = FileManager.default.contents(atPath: resolved),
            let pins = try? JSONDecoder().decode(Pins.self, from: data)
        else { return nil }
        let shown = ["grdb.swift", "swift-nio", "swift-collections", "hdrhistogram-swift"]
        return pins.pins.filter { shown.contains($0.identity) }
            .map { "\($0.identity) \($0.state.version ?? "?")" }.joined(separator: ", ")
    }
}

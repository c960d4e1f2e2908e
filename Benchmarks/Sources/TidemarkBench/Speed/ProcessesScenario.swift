/// Four processes that write without a pause to one file, beside one alone: what they get done together, what share
/// each gets, and how long a commit waits. SQLite's own busy handler does the same with plain loops.
struct ProcessesScenario {
    static let writers = 4
    let options: BenchOptions

    func run(into report: inout Report) async throws {
        try await measure(batch: 1, prefix: "processes4", into: &report)
        try await measure(batch: 100, prefix: "processes4.b100", into: &report)
    }

    private func measure(batch: Int, prefix: String, into report: inout Report) async throws {
        let folder = try ScenarioFolder(options)
        let database = folder.path("events.db")
        let writers = try (1...Self.writers).map { number in
            try ChildProcess(
                name: "writer p\(number)",
                arguments: [
                    "worker", "--instance", "p\(number)", "--database", database, "--mode", "default", "--data",
                    options.data,
                ])
        }
        defer { for writer in writers { writer.end() } }
        for writer in writers { _ = try await writer.lines(until: "ready") }
        for writer in writers {
            try writer.send("members")
            _ = try await writer.lines(until: "done")
        }
        try await PlainDatabase.make(at: folder.path("plain.db"))
        let plain = try (1...Self.writers).map { number in
            try ChildProcess(
                name: "plain loop \(number)",
                arguments: ["plain", "--database", folder.path("plain.db"), "--prefix", "p\(number)"])
        }
        defer { for loop in plain { loop.end() } }
        for loop in plain { _ = try await loop.lines(until: "ready") }

        var ours: [Contest] = []
        var handler: [Contest] = []
        for round in 0..<3 {
            if round.isMultiple(of: 2) { ours.append(try await contest(of: writers, batch: batch)) }
            handler.append(try await contest(of: plain, batch: batch))
            if !round.isMultiple(of: 2) { ours.append(try await contest(of: writers, batch: batch)) }
        }
        report.set(ours, prefix, batch: batch)
        report.set(handler, "\(prefix).busy_handler", batch: batch)
    }

    /// One alone, and then all.
    private func contest(of processes: [ChildProcess], batch: Int) async throws -> Contest {
        let seconds = Double(options.seconds) / 9
        let alone = try await saturate(processes.prefix(1), seconds: seconds, batch: batch)
        return Contest(
            seconds: seconds, alone: alone[0],
            together: try await saturate(processes[...], seconds: seconds, batch: batch))
    }

    private func saturate(
        _ processes: ArraySlice<ChildProcess>, seconds: Double, batch: Int
    ) async throws -> [Saturation] {
        for process in processes { try process.send("saturate \(seconds) \(batch)") }
        var results: [Saturation] = []
        for process in processes {
            guard let line = try await process.lines(until: "done").first else {
                throw Failure("\(process.name) did not say how it went")
            }
            results.append(try Saturation(line: line))
        }
        return results
    }
}

/// What one process got done alone, and four together, in a time each.
private struct Contest {
    let seconds: Double
    let alone: Saturation
    let together: [Saturation]

    var total: Int { together.reduce(0) { $0 + $1.commits } }
    var ratio: Double { Double(total) / Double(alone.commits) }
    var minShare: Double { Double(together.map(\.commits).min() ?? 0) / Double(total) }
    var maxShare: Double { Double(together.map(\.commits).max() ?? 0) / Double(total) }
    var p99: Double { together.map(\.p99).max() ?? 0 }
    var longest: Double { together.map(\.max).max() ?? 0 }
}

extension Report {
    /// Medians over the rounds, but for the longest wait of all.
    fileprivate mutating func set(_ contests: [Contest], _ prefix: String, batch: Int) {
        func middle(_ value: (Contest) -> Double) -> Double { median(contests.map(value)) }
        set("\(prefix).total_ratio", middle(\.ratio))
        set("\(prefix).min_share", middle(\.minShare))
        set("\(prefix).max_share", middle(\.maxShare))
        set("\(prefix).p99_over_median", middle { $0.p99 / $0.alone.median })
        set("\(prefix).commits_per_s", middle { Double($0.total) / $0.seconds })
        set("\(prefix).alone_commits_per_s", middle { Double($0.alone.commits) / $0.seconds })
        set("\(prefix).p99_ms", middle { $0.p99 / 1e6 })
        set("\(prefix).max_ms", (contests.map(\.longest).max() ?? 0) / 1e6)
    }
}

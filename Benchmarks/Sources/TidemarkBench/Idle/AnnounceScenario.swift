import Tidemark

/// What idle writers cost: one writer is busy, n others have nothing to say, and a reader follows. Counted is every
/// announcement, of a position or of a finished ID, when it is sent.
struct AnnounceScenario {
    /// Of idle writers.
    static let sizes = [1, 7, 63, 1_023]
    static let processes = 4
    let options: BenchOptions

    func run(into report: inout Report) async throws {
        for size in Self.sizes { try await measure(size, into: &report) }
        // How much faster messages grow than idle writers do, at most.
        let growths = zip(Self.sizes, Self.sizes.dropFirst()).compactMap { less, more -> Double? in
            guard let few = report["announce.n\(less).messages_per_s"],
                let many = report["announce.n\(more).messages_per_s"]
            else { return nil }
            return many / few * Double(less) / Double(more)
        }
        if let growth = growths.max() { report.set("announce.growth", growth) }
        report.setFact(
            "idle writers",
            "simulated in at most \(Self.processes) processes; each has its own row, heartbeat and schedule")
    }

    private func measure(_ size: Int, into report: inout Report) async throws {
        let folder = try ScenarioFolder(options)
        defer { folder.remove() }
        let shared = ["--database", folder.path("events.db"), "--mode", Mode.default.rawValue, "--data", options.data]
        let busy = try ChildProcess(name: "the busy writer", arguments: ["worker", "--instance", "busy"] + shared)
        defer { busy.end() }
        _ = try await busy.lines(until: "ready")
        let processes = min(size, Self.processes)
        let crowds = try (0..<processes).map { number in
            let first = size * number / processes
            let count = size * (number + 1) / processes - first
            return try ChildProcess(
                name: "crowd \(number + 1)",
                arguments: ["crowd", "--first", "\(first)", "--count", "\(count)"] + shared)
        }
        defer { for crowd in crowds { crowd.kill() } }
        for crowd in crowds { _ = try await crowd.lines(until: "ready") }
        let reader = try ChildProcess(name: "the reader", arguments: ["reader"] + shared)
        defer { reader.end() }
        _ = try await reader.lines(until: "ready")
        let writers = [busy] + crowds
        for writer in writers {
            _ = try await writer.ask("members")
        }
        // Everyone has been asked for their position by those who came last; that is over then.
        try await Task.sleep(for: .seconds(1))

        let seconds = max(2, options.seconds / 2)
        let count = LagScenario.rate * seconds
        let before = try await writers.sum("messages")
        let start = MonotonicTime.now
        try busy.send("paced 0 \(count) \(LagScenario.rate)")
        let commits = try await Commit.all(in: busy.lines(until: "done"))
        let sent = try await writers.sum("messages") - before
        let elapsed = Double(MonotonicTime.now - start) / 1e9
        try await reader.waitForArrivals(count, atMost: .seconds(10))
        let arrivals = try await reader.arrivals()

        let prefix = "announce.n\(size)"
        let timing = AnnouncementSchedule.Timing.forWriters(size + 1)
        report.set("\(prefix).messages_per_s", Double(sent) / elapsed)
        report.setArrived(prefix, arrivals.count, of: count)
        report.set("\(prefix).interval_ms", timing.interval / .milliseconds(1))
        report.set("\(prefix).repetition_ms", timing.repetition / .milliseconds(1))
        report.setLag(prefix, Lag.histogram(commits: commits, arrivals: arrivals))
    }
}

import Histogram

/// Lag with a single writer: eight have joined, one gets all events, seven are idle, and every tenth allocated ID is
/// abandoned.
struct LagScenario {
    static let rate = 200
    let mode: Mode
    let options: BenchOptions

    func run(into report: inout Report) async throws {
        let fleet = try await Fleet(mode: mode, options: options)
        defer { fleet.end() }
        let seconds = mode == .off ? options.seconds / 2 : options.seconds
        let count = Self.rate * max(1, seconds)
        let idle = fleet.writers.dropFirst()
        let before = try await idle.sum("announced")
        try fleet.writers[0].send("paced 0 \(count) \(Self.rate)")
        let commits = try await Commit.all(in: fleet.writers[0].lines(until: "done"))
        let announcements = try await idle.sum("announced") - before
        try await fleet.reader.waitForArrivals(count, atMost: mode == .off ? .milliseconds(500) : .seconds(5))
        let arrivals = try await fleet.reader.arrivals()

        let prefix = "lag.\(mode.rawValue)"
        report.set("\(prefix).sent", Double(count))
        report.set("\(prefix).delivered", Double(arrivals.count))
        report.set("\(prefix).announcements_per_event", Double(announcements) / Double(count))
        report.setLag(prefix, Lag.histogram(commits: commits, arrivals: arrivals))
    }
}

/// An event in its writer's process: when its commit had returned.
struct Commit {
    let id: String
    let time: Int64

    static func all(in lines: [String]) throws -> [Commit] {
        try lines.map { line in
            let fields = line.split(separator: " ")
            guard fields.count == 2, let time = Int64(fields[1]) else { throw Failure("a writer said \"\(line)\"") }
            return Commit(id: String(fields[0]), time: time)
        }
    }
}

enum Lag {
    /// Nanoseconds from the return of each event's commit to its arrival, put together by event id. An event that
    /// arrives before its writer is told of the commit has a lag of zero.
    static func histogram(commits: [Commit], arrivals: [Arrival]) -> Histogram<UInt64> {
        var histogram = Histogram<UInt64>(highestTrackableValue: 3_600_000_000_000)
        let times = Dictionary(commits.map { ($0.id, $0.time) }) { first, _ in first }
        for arrival in arrivals {
            if let committed = times[arrival.id] { _ = histogram.record(UInt64(max(0, arrival.time - committed))) }
        }
        return histogram
    }
}

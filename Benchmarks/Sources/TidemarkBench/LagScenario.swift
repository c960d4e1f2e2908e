import Histogram

/// Lag with a single writer: eight have joined, one gets all events, seven are idle, and every tenth allocated ID is
/// abandoned.
struct LagScenario {
    static let rate = 200
    let mode: Mode
    /// The URL of a channel, in mode redis.
    var redis: String?
    /// Where it is on a server; nil for a file.
    var database: String?
    /// Of the figures; by default that of the mode.
    var prefix: String?
    let options: BenchOptions

    func run(into report: inout Report) async throws {
        let fleet = try await Fleet(mode: mode, redis: redis, database: database, options: options)
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

        let prefix = prefix ?? "lag.\(mode.rawValue)"
        report.setArrived(prefix, arrivals.count, of: count)
        report.set("\(prefix).announcements_per_event", Double(announcements) / Double(count))
        let histogram = Lag.histogram(commits: commits, arrivals: arrivals)
        report.setLag(prefix, histogram)
        report.setSeries("\(prefix).percentiles", Lag.percentiles(of: histogram))
        report.setSeries("\(prefix).over_time", Lag.overTime(commits: commits, arrivals: arrivals))
        if database == nil, mode == .default || mode == .periodic, let normal = report["lag.default.p50_ms"],
            let periodic = report["lag.periodic.p50_ms"]
        {
            report.set("lag.periodic.p50_over_default", periodic / normal)
        }
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

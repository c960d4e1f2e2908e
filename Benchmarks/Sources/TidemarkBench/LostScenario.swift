import Histogram
import Tidemark
import TidemarkSQLite

/// The busy writer is killed with IDs in flight and closed by hand, and another one goes on: what is lost leaves gaps
/// that no row will ever fill, and idle writers have to speak.
struct LostScenario {
    let options: BenchOptions

    func run(into report: inout Report) async throws {
        let fleet = try await Fleet(mode: .default, options: options)
        defer { fleet.end() }
        let count = LagScenario.rate * max(1, options.seconds / 2)
        try fleet.writers[0].send("paced 0 \(count / 2) \(LagScenario.rate)")
        _ = try await fleet.writers[0].lines(until: "done")
        try fleet.writers[0].send("hang")
        _ = try await fleet.writers[0].lines(until: "done")
        try fleet.writers[0].send("paced \(count / 2) \(count / 4) \(LagScenario.rate)")
        let waiting = try await Commit.all(in: fleet.writers[0].lines(until: "done"))
        fleet.writers[0].kill()

        let store = try await SQLiteEventStore.open(path: fleet.database)
        _ = try await store.closeWriter("events", instance: "p1")
        await store.close()
        let closed = MonotonicTime.now

        let idle = fleet.writers.dropFirst(2)
        let before = try await idle.sum("announced")
        try fleet.writers[1].send("paced \(count) \(count) \(LagScenario.rate)")
        let commits = try await Commit.all(in: fleet.writers[1].lines(until: "done"))
        let announcements = try await idle.sum("announced") - before
        let all = count / 2 + count / 4 + count
        try await fleet.reader.waitForArrivals(all, atMost: .seconds(5))
        let arrivals = try await fleet.reader.arrivals()

        report.setArrived("lag.lost", arrivals.count, of: all)
        report.set("lag.lost.announcements_per_event", Double(announcements) / Double(count))
        report.setLag("lag.lost", Lag.histogram(commits: commits, arrivals: arrivals))
        let held = Set(waiting.map(\.id))
        if let first = arrivals.first(where: { held.contains($0.id) }) {
            report.set("lag.lost.recovery_ms", Double(first.time - closed) / 1e6)
        }
    }
}

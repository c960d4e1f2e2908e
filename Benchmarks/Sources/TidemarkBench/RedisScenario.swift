import Foundation
import Tidemark
import TidemarkTesting

/// Lag with a single writer when everyone hears each other over a Redis server on loopback; and how long it takes, after
/// that server was killed and started again while events are written, until readers move again and hear each other.
struct RedisScenario {
    let options: BenchOptions

    func run(into report: inout Report) async throws {
        let server: RedisServerProcess
        do {
            server = try await RedisServerProcess()
        } catch RedisServerFailure.notInstalled {
            // Not a failure of the run: the rest can be measured without it.
            report.setFact("redis", "not measured: there is no redis-server")
            FileHandle.standardError.write(
                Data("tidemark-bench: skipped, there is no redis-server: install it (scripts/setup does)\n".utf8))
            return
        }
        let url = "redis://127.0.0.1:\(server.port)/bench"
        try await LagScenario(mode: .redis, redis: url, options: options).run(into: &report)
        try await restart(server, url, into: &report)
        server.kill()
    }

    private func restart(_ server: RedisServerProcess, _ url: String, into report: inout Report) async throws {
        let fleet = try await Fleet(mode: .redis, redis: url, options: options)
        defer { fleet.end() }
        let count = LagScenario.rate * 8
        try fleet.writers[0].send("paced 0 \(count) \(LagScenario.rate)")
        // Two of the eight seconds before the absence, and two of it: the rest is for coming back.
        try await Task.sleep(for: .seconds(2))
        server.kill()
        let killed = MonotonicTime.now
        try await Task.sleep(for: .seconds(2))
        try await server.start()
        let restarted = MonotonicTime.now
        let commits = try await Commit.all(in: fleet.writers[0].lines(until: "done"))
        try await fleet.reader.waitForArrivals(count, atMost: .seconds(5))
        let arrivals = try await fleet.reader.arrivals()

        report.setArrived("redis", arrivals.count, of: count)
        // Writers keep to their schedule: what lies between two commits says how long one waited.
        let gaps = zip(commits, commits.dropFirst()).map { $1.time - $0.time }
        report.set("redis.commit_max_ms", Double(gaps.max() ?? 0) / 1e6)
        let times = Dictionary(commits.map { ($0.id, $0.time) }) { first, _ in first }
        let lags = arrivals.compactMap { arrival in
            times[arrival.id].map { (commit: $0, arrival: arrival.time, lag: arrival.time - $0) }
        }
        let whileDown = lags.filter { (killed..<restarted).contains($0.commit) }
        report.set("redis.down_max_ms", Double(whileDown.map(\.lag).max() ?? 0) / 1e6)
        if let first = lags.first(where: { $0.commit >= restarted }) {
            report.set("redis.recovery_ms", Double(first.arrival - restarted) / 1e6)
        }
        // From when on events arrive as fast as they do over Redis: the last one that did not.
        let slow = lags.last { $0.commit >= restarted && $0.lag > 25_000_000 }
        report.set("redis.fast_again_ms", Double(max(0, (slow?.arrival ?? restarted) - restarted)) / 1e6)
    }
}

import Foundation
import TidemarkTesting

/// Lag with a single writer on PostgreSQL, seven idle, over LISTEN and NOTIFY and over Redis; and as the limit, a plain INSERT
/// with NOTIFY, and a plain reader that listens and selects.
struct ServerLagScenario {
    let server: BenchServer
    let options: BenchOptions

    func run(into report: inout Report) async throws {
        let (server, options) = (server, options)
        var found = report
        try await server.withDatabase { database in
            try await LagScenario(mode: .default, database: database, prefix: "pg.lag.notify", options: options)
                .run(into: &found)
        }
        try await server.withDatabase { try await plain(at: $0, into: &found) }
        do {
            let redis = try await RedisServerProcess()
            try await server.withDatabase { database in
                try await LagScenario(
                    mode: .redis, redis: "redis://127.0.0.1:\(redis.port)/bench", database: database,
                    prefix: "pg.lag.redis", options: options
                ).run(into: &found)
            }
            redis.kill()
        } catch RedisServerFailure.notInstalled {
            found.setFact("redis", "not measured: there is no redis-server")
        }
        report = found
    }

    private func plain(at database: String, into report: inout Report) async throws {
        let store = try await PostgreSQLPlainTable.make(at: database)
        defer { _ = store }
        let count = LagScenario.rate * options.seconds
        let children = try ["writer", "reader"].map { name in
            try ChildProcess(
                name: "the plain \(name)", arguments: ["plain-server", "--database", database, "--prefix", "plain"])
        }
        defer { for child in children { child.end() } }
        for child in children { _ = try await child.lines(until: "ready") }
        try children[1].send("follow \(count) \(options.seconds + 5)")
        _ = try await children[1].lines(until: "listening")
        try children[0].send("paced \(count) \(LagScenario.rate)")
        let commits = try await Commit.all(in: children[0].lines(until: "done"))
        let arrivals = try await children[1].lines(until: "done").map(Arrival.init(line:))
        report.setArrived("pg.lag.plain", arrivals.count, of: count)
        let histogram = Lag.histogram(commits: commits, arrivals: arrivals)
        report.setLag("pg.lag.plain", histogram)
        report.setSeries("pg.lag.plain.percentiles", Lag.percentiles(of: histogram))
    }
}

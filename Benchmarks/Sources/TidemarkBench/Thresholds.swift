import BenchReport
import Tidemark

/// What a run has to reach.
struct Thresholds {
    /// Above 1 on machines that others use at the same time: times may be so much longer.
    let slack: Double

    /// Of the scenarios that were run.
    func bars(for report: Report, scenarios: [Scenario]) -> [Bar] {
        // Redis is measured where there is a server for it.
        let measured = scenarios.filter { $0 != .redis || report["lag.redis.sent"] != nil }
        let hasRedis = report["pg.lag.redis.sent"] != nil
        let limits = measured.flatMap { bars(for: $0) }.filter { hasRedis || !$0.figure.hasPrefix("pg.lag.redis") }
        return limits.map { figure, relation, limit in
            Bar(figure, report[figure], relation, limit)
        }
    }

    typealias Limit = (figure: String, relation: Bar.Relation, limit: Double)

    private func bars(for scenario: Scenario) -> [Limit] {
        switch scenario {
        case .lag:
            [
                ("lag.default.p50_ms", .atMost, 2 * slack), ("lag.default.p99_ms", .atMost, 10 * slack),
                ("lag.default.announcements_per_event", .atMost, 3), ("lag.none.max_ms", .atMost, 1_500 * slack),
                ("lag.default.arrived", .atLeast, 1), ("lag.periodic.arrived", .atLeast, 1),
                ("lag.none.arrived", .atLeast, 1),
                // The modes differ, or nothing is measured.
                ("lag.off.arrived", .atMost, 0.1), ("lag.periodic.p50_over_default", .atLeast, 50 / slack),
            ]
        case .lost: [("lag.lost.arrived", .atLeast, 1)]
        case .redis:
            [
                ("lag.redis.p50_ms", .atMost, 5 * slack), ("lag.redis.p99_ms", .atMost, 25 * slack),
                ("lag.redis.arrived", .atLeast, 1), ("redis.arrived", .atLeast, 1),
                ("redis.down_max_ms", .atMost, 1_500 * slack), ("redis.recovery_ms", .atMost, 1_000 * slack),
                ("redis.fast_again_ms", .atMost, 1_000 * slack), ("redis.commit_max_ms", .atMost, 250 * slack),
            ]
        case .several:
            [("several.missing", .atMost, 0), ("several.repeated", .atMost, 0), ("several.out_of_order", .atMost, 0)]
        case .persist: persistBars
        case .processes: processesBars
        case .read: readBars
        case .bookkeeping: bookkeepingBars
        case .announce:
            AnnounceScenario.sizes.map { ("announce.n\($0).messages_per_s", .atMost, 2_000) }
                + AnnounceScenario.sizes.map { ("announce.n\($0).arrived", .atLeast, 1) }
                + [("announce.growth", .atMost, 1), ("announce.n1023.p99_ms", .atMost, 50 * slack)]
        case .parse:
            [
                ("parse.position_lines_per_s", .atLeast, 1_500_000 / slack),
                ("parse.rdata_lines_per_s", .atLeast, 700_000 / slack),
            ]
        case .dead:
            [
                ("dead.killed.max_ms", .atMost, 1_500 * slack),
                ("dead.stopped.max_ms", .atMost, DeadScenario.stoppedLimit / .milliseconds(1) * slack),
            ]
        case .serverLag: serverLagBars
        case .serverRate: serverRateBars
        case .serverRead: serverReadBars
        case .fanout:
            [
                ("replication.fanout32.lines_per_s", .atLeast, 300_000 / slack),
                ("replication.fanout32.dropped", .atMost, 0),
            ]
        }
    }
}

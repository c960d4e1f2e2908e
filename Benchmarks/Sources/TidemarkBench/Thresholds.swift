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
        return measured.flatMap { bars(for: $0) }.map { figure, relation, limit in
            Bar(figure, report[figure], relation, limit)
        }
    }

    private typealias Limit = (figure: String, relation: Bar.Relation, limit: Double)

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
        case .persist:
            [
                ("persist.b1.ratio", .atLeast, 0.8 / slack), ("persist.b100.ratio", .atLeast, 0.85 / slack),
                ("persist.callers1000.speedup", .atLeast, 15 / slack),
                ("persist.callers1000.p99_ms", .atMost, 20 * slack),
            ]
        case .processes:
            [
                ("processes4.total_ratio", .atLeast, 0.85 / slack), ("processes4.min_share", .atLeast, 0.2),
                ("processes4.max_share", .atMost, 0.3), ("processes4.p99_over_median", .atMost, 20 * slack),
                ("processes4.max_ms", .atMost, 100 * slack), ("processes4.b100.total_ratio", .atLeast, 0.7 / slack),
            ]
        case .read: [("read.events.ratio", .atLeast, 0.5 / slack), ("read.raw.ratio", .atLeast, 0.7 / slack)]
        case .bookkeeping:
            [
                ("generator.scope_ns", .atMost, 400 * slack), ("generator.advance_ns.w2", .atMost, 150 * slack),
                ("generator.advance_ns.w4096_over_w2", .atMost, 2 * slack),
                ("generator.random_finish_ns", .atMost, 300 * slack), ("generator.growth_bytes", .atMost, 1_048_576),
            ]
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
        }
    }
}

import BenchReport

/// On PostgreSQL.
extension Thresholds {
    var serverLagBars: [Limit] {
        [
            ("pg.lag.notify.p50_ms", .atMost, 3 * slack), ("pg.lag.notify.p99_ms", .atMost, 12 * slack),
            ("pg.lag.notify.arrived", .atLeast, 1), ("pg.lag.plain.arrived", .atLeast, 1),
            ("pg.lag.redis.p50_ms", .atMost, 4 * slack), ("pg.lag.redis.p99_ms", .atMost, 15 * slack),
            ("pg.lag.redis.arrived", .atLeast, 1),
        ]
    }

    var serverRateBars: [Limit] {
        [
            ("pg.rate.b1.ratio", .atLeast, 0.5 / slack), ("pg.rate.b10.ratio", .atLeast, 0.7 / slack),
            ("pg.rate.b100.ratio", .atLeast, 0.9 / slack), ("pg.callers1000.speedup", .atLeast, 10 / slack),
        ]
    }

    var serverReadBars: [Limit] {
        [
            ("pg.read.ratio", .atLeast, 0.7 / slack), ("pg.read.raw.ratio", .atLeast, 0.7 / slack),
        ]
    }
}

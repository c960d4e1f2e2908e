import BenchReport

/// On a machine that others use too, what is fast may be slower and what takes time may take longer. Shares and leaks are
/// no matter of how busy it is.
extension Thresholds {
    var persistBars: [Limit] {
        [
            ("persist.b1.ratio", .atLeast, 0.8 / slack), ("persist.b100.ratio", .atLeast, 0.85 / slack),
            ("persist.callers1000.speedup", .atLeast, 15 / slack),
            ("persist.callers1000.p99_ms", .atMost, 20 * slack),
        ]
    }

    var processesBars: [Limit] {
        [
            ("processes4.total_ratio", .atLeast, 0.85 / slack), ("processes4.min_share", .atLeast, 0.2),
            ("processes4.max_share", .atMost, 0.3), ("processes4.p99_over_median", .atMost, 20 * slack),
            ("processes4.max_ms", .atMost, 100 * slack), ("processes4.b100.total_ratio", .atLeast, 0.7 / slack),
        ]
    }

    var readBars: [Limit] {
        [("read.events.ratio", .atLeast, 0.5 / slack), ("read.raw.ratio", .atLeast, 0.7 / slack)]
    }

    var bookkeepingBars: [Limit] {
        [
            ("generator.scope_ns", .atMost, 400 * slack), ("generator.advance_ns.w2", .atMost, 150 * slack),
            // With two writers next to nothing is left to do, so that their ratio says little: at most what two may take, twice.
            ("generator.advance_ns.w4096", .atMost, 300 * slack),
            ("generator.random_finish_ns", .atMost, 300 * slack),
            ("generator.growth_bytes", .atMost, 1_048_576),
        ]
    }
}

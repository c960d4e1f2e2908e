extension Thresholds {
    /// What the speed scenarios did not reach, a sentence each.
    func missedSpeed(by report: Report) -> [String] {
        let least: [(String, Double)] = [
            ("persist.b1.ratio", 0.8), ("persist.b100.ratio", 0.85), ("persist.callers1000.speedup", 15),
            ("processes4.total_ratio", 0.85), ("processes4.b100.total_ratio", 0.7), ("read.events.ratio", 0.5),
            ("read.raw.ratio", 0.7),
        ]
        let most: [(String, Double)] = [
            ("persist.callers1000.p99_ms", 20), ("processes4.p99_over_median", 20), ("generator.scope_ns", 400),
            ("generator.advance_ns.w2", 150), ("generator.random_finish_ns", 300),
            ("generator.advance_ns.w4096", 2 * (report["generator.advance_ns.w2"] ?? 150)),
        ]
        var missed: [String] = []
        for (name, limit) in least.map({ ($0, $1 / slack) }) {
            guard let value = report[name] else { missed.append("\(name) was not measured"); continue }
            if value < limit { missed.append("\(name) is \(value), it should be at least \(limit)") }
        }
        for (name, limit) in most.map({ ($0, $1 * slack) }) {
            guard let value = report[name] else { missed.append("\(name) was not measured"); continue }
            if value > limit { missed.append("\(name) is \(value), the limit is \(limit)") }
        }
        // A share and a leak are no matter of how busy the machine is.
        if let least = report["processes4.min_share"], let most = report["processes4.max_share"],
            least < 0.2 || most > 0.3
        {
            missed.append("of four processes one got \(least) of the commits, and one \(most)")
        }
        if let growth = report["generator.growth_bytes"], growth > 1_048_576 {
            missed.append("memory grew by \(growth) bytes behind a stuck writer")
        }
        return missed
    }
}

/// What a run has to reach.
struct Thresholds {
    /// Above 1 on machines that others use at the same time: times may be so much longer.
    let slack: Double

    /// What was not reached, a sentence each.
    func missed(by report: Report) -> [String] {
        var missed: [String] = []
        func atMost(_ name: String, _ limit: Double) {
            guard let value = report[name] else { return missed.append("\(name) was not measured") }
            if value > limit { missed.append("\(name) is \(value), the limit is \(limit)") }
        }
        atMost("lag.default.p50_ms", 2 * slack)
        atMost("lag.default.p99_ms", 10 * slack)
        atMost("lag.default.announcements_per_event", 3)
        for name in ["several.missing", "several.repeated", "several.out_of_order"] { atMost(name, 0) }
        atMost("lag.none.max_ms", 1_500 * slack)
        atMost("processes4.max_ms", 100 * slack)
        missed += missedSpeed(by: report)
        for mode in ["default", "periodic", "none", "lost"]
        where report["lag.\(mode).delivered"] != report["lag.\(mode).sent"] {
            missed.append("in mode \(mode) not every event arrived")
        }
        if let off = report["lag.off.delivered"], let sent = report["lag.off.sent"], off > sent / 10 {
            missed.append("with announcements off \(off) of \(sent) events arrived: the modes do not differ")
        }
        if let periodic = report["lag.periodic.p50_ms"], let normal = report["lag.default.p50_ms"],
            periodic < 50 / slack * normal
        {
            missed.append("the periodic mode's p50 is only \(periodic / normal) times the default's")
        }
        return missed
    }
}

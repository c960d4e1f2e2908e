import BenchReport

extension Report {
    /// What idle and dead writers cost, for people.
    var idleLines: [String] {
        var lines: [String] = []
        let sizes = AnnounceScenario.sizes.filter { self["announce.n\($0).messages_per_s"] != nil }
        if !sizes.isEmpty {
            lines += ["", "Idle writers, beside one that writes \(LagScenario.rate) events a second", ""]
            lines.append(row("idle", ["interval ms", "messages/s", "p50 ms", "p99 ms", "max ms"]))
            let names = ["interval_ms", "messages_per_s", "p50_ms", "p99_ms", "max_ms"]
            lines += sizes.map { size in
                row("\(size)", names.map { NumberText.short(self["announce.n\(size).\($0)"]) })
            }
        }
        let ends = DeadScenario.End.allCases.map(\.rawValue).filter { self["dead.\($0).count"] != nil }
        if !ends.isEmpty {
            lines += ["", "Dead writers: until the minimum has passed them", ""]
            lines.append(row("how", ["times", "p50 ms", "max ms"]))
            lines += ends.map { end in
                row(end, ["count", "p50_ms", "max_ms"].map { NumberText.short(self["dead.\(end).\($0)"]) })
            }
        }
        return lines
    }
}

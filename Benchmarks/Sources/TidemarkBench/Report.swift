import Histogram

/// The figures of a run, under flat names.
struct Report {
    private(set) var figures: [(name: String, value: Double)] = []
    /// What the figures depend on, in words.
    private(set) var facts: [(name: String, value: String)] = []
    /// What plots are drawn from, in rows of numbers.
    private(set) var series: [String: [[Double]]] = [:]

    subscript(name: String) -> Double? { figures.first { $0.name == name }?.value }

    mutating func set(_ name: String, _ value: Double) {
        figures.append((name, value))
    }

    /// How much of what was sent has arrived; and of all, the two numbers.
    mutating func setArrived(_ prefix: String, _ count: Int, of sent: Int) {
        set("\(prefix).sent", Double(sent))
        set("\(prefix).delivered", Double(count))
        set("\(prefix).arrived", sent == 0 ? 0 : Double(count) / Double(sent))
    }

    mutating func setFact(_ name: String, _ value: String) {
        facts.append((name, value))
    }

    mutating func setSeries(_ name: String, _ rows: [[Double]]) {
        series[name] = rows
    }

    /// Percentiles in milliseconds; none where nothing was delivered.
    mutating func setLag(_ prefix: String, _ histogram: Histogram<UInt64>) {
        guard histogram.totalCount > 0 else { return }
        setPercentiles(prefix, histogram)
    }

    /// Of how long something took, in nanoseconds.
    mutating func setPercentiles(_ prefix: String, _ histogram: Histogram<UInt64>) {
        set("\(prefix).p50_ms", Double(histogram.valueAtPercentile(50)) / 1e6)
        set("\(prefix).p99_ms", Double(histogram.valueAtPercentile(99)) / 1e6)
        set("\(prefix).max_ms", Double(histogram.max) / 1e6)
    }

    /// For people.
    var table: String {
        var lines = ["Lag with a single writer: 1 of 8 writes \(LagScenario.rate) events a second, 7 are idle", ""]
        lines.append(row("mode", ["p50 ms", "p99 ms", "max ms", "delivered", "of", "announcements/event"]))
        for mode in ["off", "periodic", "default", "none", "lost", "redis"] where self["lag.\(mode).sent"] != nil {
            let names = ["p50_ms", "p99_ms", "max_ms", "delivered", "sent", "announcements_per_event"]
            let cells = names.map { name -> String in
                let isCount = name == "delivered" || name == "sent"
                return self["lag.\(mode).\(name)"].map { formatted($0, decimals: isCount ? 0 : 2) } ?? "-"
            }
            lines.append(row(mode, cells))
        }
        if let recovery = self["lag.lost.recovery_ms"] {
            lines += [
                "",
                "After the dead writer was closed, what waited arrived within \(formatted(recovery, decimals: 0)) ms.",
            ]
        }
        if let recovery = self["redis.recovery_ms"], let fast = self["redis.fast_again_ms"] {
            lines += [
                "",
                "After Redis was restarted, the minimum moved within \(formatted(recovery, decimals: 0)) ms, and all was "
                    + "as before after \(formatted(fast, decimals: 0)) ms.",
            ]
        }
        if let rate = self["several.events_per_s"] {
            lines += ["", "Several writers: 4 of 8 write as fast as they go", ""]
            lines.append(row("events/s", ["events", "missing", "repeated", "out of order"]))
            let names = ["events", "missing", "repeated", "out_of_order"]
            lines.append(
                row(formatted(rate, decimals: 0), names.map { formatted(self["several.\($0)"] ?? -1, decimals: 0) }))
        }
        lines += speedLines + idleLines
        return lines.joined(separator: "\n")
    }

    func row(_ head: String, _ cells: [String]) -> String {
        func pad(_ text: String, _ width: Int) -> String {
            String(repeating: " ", count: max(0, width - text.count)) + text
        }
        return pad(head, 10) + cells.enumerated().map { pad($1, $0 < 5 ? 13 : 21) }.joined()
    }

    private func formatted(_ value: Double, decimals: Int) -> String {
        guard decimals > 0 else { return String(Int(value.rounded())) }
        let scaled = Int((value * 100).rounded())
        let fraction = String(scaled % 100)
        return "\(scaled / 100)." + (fraction.count == 1 ? "0" : "") + fraction
    }
}

/// Measured times, for people.
struct Figures {
    private(set) var seconds: [Double] = []

    mutating func add(_ duration: Duration) { seconds.append(duration / .seconds(1)) }

    var median: Double { quantile(0.5) }
    var maximum: Double { seconds.max() ?? 0 }

    var summary: String {
        seconds.isEmpty
            ? "none"
            : "\(seconds.count), p50 \(Self.text(median)) s, p99 \(Self.text(quantile(0.99))) s, max \(Self.text(maximum)) s"
    }

    private func quantile(_ part: Double) -> Double {
        seconds.isEmpty ? 0 : seconds.sorted()[min(seconds.count - 1, Int(Double(seconds.count) * part))]
    }

    static func text(_ seconds: Double) -> String {
        let milliseconds = Int((seconds * 1000).rounded())
        let fraction = String(milliseconds % 1000)
        return "\(milliseconds / 1000).\(String(repeating: "0", count: 3 - fraction.count))\(fraction)"
    }
}

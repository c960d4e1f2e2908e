/// Measured times, for people.
struct Figures {
    private(set) var seconds: [Double] = []

    mutating func add(_ duration: Duration) { seconds.append(duration / .seconds(1)) }

    var median: Double { seconds.isEmpty ? 0 : seconds.sorted()[seconds.count / 2] }
    var maximum: Double { seconds.max() ?? 0 }

    var summary: String {
        seconds.isEmpty ? "none" : "\(seconds.count), p50 \(Self.text(median)) s, max \(Self.text(maximum)) s"
    }

    static func text(_ seconds: Double) -> String {
        let milliseconds = Int((seconds * 1000).rounded())
        let fraction = String(milliseconds % 1000)
        return "\(milliseconds / 1000).\(String(repeating: "0", count: 3 - fraction.count))\(fraction)"
    }
}

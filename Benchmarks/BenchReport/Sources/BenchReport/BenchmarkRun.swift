/// Everything that a page is made from.
public struct BenchmarkRun: Sendable {
    /// Under flat names.
    public let figures: [String: Double]
    /// What the figures depend on: the machine, versions, seeds.
    public let facts: [(name: String, value: String)]
    /// Rows of numbers, for plots.
    public let series: [String: [[Double]]]
    public let bars: [Bar]

    public init(
        figures: [String: Double], facts: [(name: String, value: String)], series: [String: [[Double]]], bars: [Bar]
    ) {
        self.figures = figures
        self.facts = facts
        self.series = series
        self.bars = bars
    }

    /// Rows of at least so many numbers; none where the series is not there.
    func rows(_ name: String, columns: Int) -> [[Double]] {
        (series[name] ?? []).filter { $0.count >= columns }
    }
}

import Histogram

/// Nanoseconds from the return of each event's commit to its arrival, put together by event id. An event that arrives
/// before its writer is told of the commit has a lag of zero.
enum Lag {
    static func histogram(commits: [Commit], arrivals: [Arrival]) -> Histogram<UInt64> {
        histogram(of: all(commits: commits, arrivals: arrivals).map(\.lag))
    }

    /// Percentiles and milliseconds, as far as there are enough values for them.
    static func percentiles(of histogram: Histogram<UInt64>) -> [[Double]] {
        guard histogram.totalCount > 0 else { return [] }
        return [0, 10, 25, 50, 75, 90, 95, 97.5, 99, 99.5, 99.75, 99.9, 99.95, 99.99]
            .filter { (1 - $0 / 100) * Double(histogram.totalCount) >= 1 }
            .map { [$0, Double(histogram.valueAtPercentile($0)) / 1e6] }
    }

    /// For each of at most so many moments: seconds since the first commit, the median and the greatest lag in
    /// milliseconds of what was committed then.
    static func overTime(commits: [Commit], arrivals: [Arrival], moments: Int = 120) -> [[Double]] {
        guard let first = commits.map(\.time).min(), let last = commits.map(\.time).max() else { return [] }
        let width = max(1, (last - first) / Int64(moments) + 1)
        var lags: [Int64: [UInt64]] = [:]
        for (time, lag) in all(commits: commits, arrivals: arrivals) {
            lags[(time - first) / width, default: []].append(lag)
        }
        return lags.sorted { $0.key < $1.key }.map { moment, lags in
            let histogram = histogram(of: lags)
            let seconds = (Double(moment) + 0.5) * Double(width) / 1e9
            return [seconds, Double(histogram.valueAtPercentile(50)) / 1e6, Double(histogram.max) / 1e6]
        }
    }

    private static func histogram(of lags: [UInt64]) -> Histogram<UInt64> {
        var histogram = Histogram<UInt64>(highestTrackableValue: 3_600_000_000_000)
        for lag in lags { _ = histogram.record(lag) }
        return histogram
    }

    private static func all(commits: [Commit], arrivals: [Arrival]) -> [(time: Int64, lag: UInt64)] {
        let times = Dictionary(commits.map { ($0.id, $0.time) }) { first, _ in first }
        return arrivals.compactMap { arrival in
            times[arrival.id].map { (time: $0, lag: UInt64(max(0, arrival.time - $0))) }
        }
    }
}

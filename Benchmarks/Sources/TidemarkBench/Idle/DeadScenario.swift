import Foundation
import Histogram
import Tidemark

/// What a dead writer costs: one writer is busy, another one is killed or stopped while an ID of its own is in flight,
/// and nobody closes it by hand. Measured is how long it takes, from the signal, until the first event above that ID
/// arrives in the reader: the minimum has passed the dead writer then.
///
/// Several databases at once, each with processes of its own: nearly all of it is waiting.
struct DeadScenario {
    static let databases = 4
    static let rate = 100
    static let seed: UInt64 = 4_711
    let options: BenchOptions

    enum End: String, CaseIterable {
        case killed
        case stopped
    }

    /// What the library's defaults promise of a stopped writer: it was silent for the timeout, its last heartbeat may
    /// have been seen late by one interval of writing, and one of reading.
    static let stoppedLimit: Duration = {
        let defaults = EventLogConfiguration()
        return defaults.silenceTimeout + (defaults.heartbeatInterval ?? .zero) + (defaults.reconcileInterval ?? .zero)
    }()

    func run(into report: inout Report) async throws {
        let victims = max(1, options.seconds * 5 / 12)
        for end in End.allCases {
            let times = try await withThrowingTaskGroup(of: [Int64].self) { group in
                for number in 0..<Self.databases {
                    group.addTask {
                        let site = try await DeathSite(options: options, seed: Self.seed + UInt64(number))
                        defer { site.end() }
                        var times: [Int64] = []
                        for _ in 0..<victims { times.append(try await site.timeUntilPassed(end)) }
                        return times
                    }
                }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            var histogram = Histogram<UInt64>(highestTrackableValue: 3_600_000_000_000)
            for time in times { _ = histogram.record(UInt64(time)) }
            let prefix = "dead.\(end.rawValue)"
            report.set("\(prefix).count", Double(times.count))
            report.set("\(prefix).p50_ms", Double(histogram.valueAtPercentile(50)) / 1e6)
            report.set("\(prefix).max_ms", Double(histogram.max) / 1e6)
            report.setSeries("\(prefix).all_ms", times.map { [Double($0) / 1e6] })
        }
        report.setFact("seed, dead writers", "\(Self.seed)")
    }
}

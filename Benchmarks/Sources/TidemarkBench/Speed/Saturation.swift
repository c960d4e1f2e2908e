import Histogram

/// Transactions one after the other for some time: how many there were, and how long each took, in nanoseconds.
struct Saturation {
    var commits = 0
    var median = 0.0
    var p99 = 0.0
    var max = 0.0

    static func of(seconds: Double, _ transaction: (Int) throws -> Void) throws -> Saturation {
        var waits = Waits(seconds: seconds)
        while waits.isOpen {
            try transaction(waits.count)
            waits.record()
        }
        return waits.saturation
    }

    static func of(seconds: Double, _ transaction: (Int) async throws -> Void) async throws -> Saturation {
        var waits = Waits(seconds: seconds)
        while waits.isOpen {
            try await transaction(waits.count)
            waits.record()
        }
        return waits.saturation
    }

    var line: String { "\(commits) \(median) \(p99) \(max)" }

    init(line: String) throws {
        let fields = line.split(separator: " ").compactMap { Double($0) }
        guard fields.count == 4 else { throw Failure("a process said \"\(line)\"") }
        (commits, median, p99, max) = (Int(fields[0]), fields[1], fields[2], fields[3])
    }

    private init(_ waits: Histogram<UInt64>) {
        commits = Int(waits.totalCount)
        median = Double(waits.valueAtPercentile(50))
        p99 = Double(waits.valueAtPercentile(99))
        max = Double(waits.max)
    }

    private struct Waits {
        private var histogram = Histogram<UInt64>(highestTrackableValue: 600_000_000_000)
        private var last = MonotonicTime.now
        private let end: Int64
        private(set) var count = 0

        init(seconds: Double) { end = MonotonicTime.now + Int64(seconds * 1e9) }

        var isOpen: Bool { last < end }
        var saturation: Saturation { Saturation(histogram) }

        mutating func record() {
            let now = MonotonicTime.now
            _ = histogram.record(UInt64(now - last))
            last = now
            count += 1
        }
    }
}

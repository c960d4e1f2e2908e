import Benchmark
import TidemarkCore
import TidemarkWire

/// What runs for each ID and for each line, a thousand times an iteration.
///
/// Names without spaces: thresholds of others are written to files that are not found again.
let benchmarks: @Sendable () -> Void = {
    Benchmark.defaultConfiguration = .init(
        metrics: [.wallClock], scalingFactor: .kilo, maxDuration: .seconds(1), maxIterations: 1_000,
        // In percent: a machine that others use at the same time may be slower by that much.
        thresholds: [.wallClock: BenchmarkThresholds(relative: [.p90: 300])])

    Benchmark("allocate-and-finish") { benchmark in
        var tracker = Trackers.writing(others: 1)
        benchmark.startMeasurement()
        for number in benchmark.scaledIterations {
            try Trackers.allocate(Int64(number) + 1, in: &tracker)
            blackHole(tracker.finish(StreamID(Int64(number) + 1)))
        }
    }

    for others in [2, 4_096] {
        Benchmark("hear-a-position-of-\(others)-writers") { benchmark in
            var tracker = Trackers.listening(to: others)
            let writers = (0..<others).map(Trackers.writer)
            benchmark.startMeasurement()
            for number in benchmark.scaledIterations {
                tracker.advance(writers[number &* 7919 % others], to: StreamID(Int64(number) + 1))
            }
            blackHole(tracker.minimum)
        }
    }

    Benchmark("hear-a-finished-ID-beyond-a-gap") { benchmark in
        var tracker = Trackers.listening(to: 2)
        benchmark.startMeasurement()
        for number in benchmark.scaledIterations {
            let id = StreamID(Int64(number) + 2)
            tracker.recordFinished(id...id)
        }
        blackHole(tracker.minimum)
    }

    for line in ["POSITION events p1#3 53 54", #"RDATA events p1#3 54 ["$an-event-id:example.org"]"#] {
        let name = String(line.prefix { $0 != " " })
        Benchmark("parse-\(name)") { benchmark in
            for _ in benchmark.scaledIterations { blackHole(try ReplicationCommand(parsing: line)) }
        }
        Benchmark("print-\(name)") { benchmark in
            let command = try ReplicationCommand(parsing: line)
            benchmark.startMeasurement()
            for _ in benchmark.scaledIterations { blackHole(command.line) }
        }
    }
}

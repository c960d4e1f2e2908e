import Tidemark

/// The events split among four of the eight writers by a hash of their key, as fast as they go; what the reader sees is
/// checked.
struct SeveralScenario {
    static let writers = 4
    let options: BenchOptions

    func run(into report: inout Report) async throws {
        let fleet = try await Fleet(mode: .default, options: options)
        defer { fleet.end() }
        let count = 6_000 * max(1, options.seconds)
        let busy = fleet.writers.prefix(Self.writers)
        for (number, writer) in busy.enumerated() {
            try writer.send("flood \(count) \(number) \(Self.writers) 32")
        }
        var start = Int64.max
        for writer in busy {
            start = min(start, try await writer.lines(until: "done").first.flatMap { Int64($0) } ?? start)
        }
        try await fleet.reader.waitForArrivals(count, atMost: .seconds(10))
        let arrivals = try await fleet.reader.arrivals()

        var seen: Set<String> = []
        let workload = try Workload(file: options.data)
        let repeated = arrivals.reduce(0) { $0 + (seen.insert($1.id).inserted ? 0 : 1) }
        let missing = (0..<count).reduce(0) { $0 + (seen.contains(workload[$1].id) ? 0 : 1) }
        let outOfOrder = zip(arrivals, arrivals.dropFirst()).reduce(0) { $0 + ($1.0.streamID < $1.1.streamID ? 0 : 1) }
        report.set("several.events", Double(count))
        report.set("several.missing", Double(missing))
        report.set("several.repeated", Double(repeated))
        report.set("several.out_of_order", Double(outOfOrder))
        if let last = arrivals.last {
            report.set("several.events_per_s", Double(arrivals.count) / (Double(last.time - start) / 1e9))
        }
    }
}

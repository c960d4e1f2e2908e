/// Four processes that write without a pause, one event a commit: what share each gets, and how long a commit waits.
struct ProcessesScenario {
    static let writers = 4
    let options: BenchOptions

    func run(into report: inout Report) async throws {
        let fleet = try await Fleet(mode: .default, options: options)
        defer { fleet.end() }
        let seconds = max(2, options.seconds * 10 / 12)
        let busy = fleet.writers.prefix(Self.writers)
        for writer in busy { try writer.send("saturate \(seconds)") }
        var counts: [Double] = []
        var p99 = 0.0
        var longest = 0.0
        for writer in busy {
            let numbers = try await writer.lines(until: "done").flatMap { $0.split(separator: " ") }.compactMap {
                Double($0)
            }
            guard numbers.count == 3 else { throw Failure("\(writer.name) did not say how it went") }
            counts.append(numbers[0])
            p99 = max(p99, numbers[1])
            longest = max(longest, numbers[2])
        }
        let total = counts.reduce(0, +)
        report.set("processes4.commits_per_s", total / Double(seconds))
        report.set("processes4.min_share", (counts.min() ?? 0) / total)
        report.set("processes4.p99_ms", p99 / 1e6)
        report.set("processes4.max_ms", longest / 1e6)
    }
}

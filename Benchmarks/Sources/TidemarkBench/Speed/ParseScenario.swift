import Tidemark

/// How many lines of the replication protocol one core parses and prints in a second.
struct ParseScenario {
    let options: BenchOptions

    func run(into report: inout Report) throws {
        let positions = (0..<1000).map { "POSITION events p\($0 % 8)#3 \(1_000_000 + $0) \(1_000_001 + $0)" }
        let rows = (0..<1000).map {
            "RDATA events p\($0 % 8)#3 \(1_000_000 + $0) "
                + "[\"$\($0)aVeryLongEventIdentifier:example.org\",\"!room:example.org\",\"m.room.message\",null,null]"
        }
        report.set("parse.position_lines_per_s", try rate(positions))
        report.set("parse.rdata_lines_per_s", try rate(rows))
    }

    /// Lines a second, the best of several rounds: what another program takes away is not what is measured.
    private func rate(_ texts: [String]) throws -> Double {
        let lines = texts.map { Array($0.utf8) }
        var best = 0.0
        var printed: [UInt8] = []
        let rounds = max(3, options.seconds / 2)
        for _ in 0..<rounds {
            let start = MonotonicTime.now
            var count = 0
            while MonotonicTime.now - start < 500_000_000 {
                for line in lines {
                    printed.removeAll(keepingCapacity: true)
                    try ReplicationCommand.parse(line.span).append(to: &printed)
                    if printed.count != line.count { throw Failure("a line was printed in another way") }
                }
                count += lines.count
            }
            best = max(best, Double(count) / (Double(MonotonicTime.now - start) / 1e9))
        }
        return best
    }
}

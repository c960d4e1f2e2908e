import Tidemark

/// Rates of several ways to do the same work, which take turns for some rounds, so that whatever else the machine does
/// hits all of them.
struct Rounds {
    private var rates: [[Double]] = []

    /// - Parameter ways: each does its share of a round and returns how many units of work that was. The order changes
    ///   from round to round.
    mutating func run(_ rounds: Int, _ ways: [() async throws -> Int]) async throws {
        for round in 0..<rounds {
            var ofRound = [Double](repeating: 0, count: ways.count)
            for offset in ways.indices {
                let way = (round + offset) % ways.count
                let start = MonotonicTime.now
                let work = try await ways[way]()
                ofRound[way] = Double(work) * 1e9 / Double(MonotonicTime.now - start)
            }
            rates.append(ofRound)
        }
    }

    /// The median over the rounds, in units a second.
    func rate(of way: Int) -> Double { median(rates.map { $0[way] }) }

    /// The median over the rounds of one way's rate, in terms of another's in the same round.
    func ratio(of way: Int, to other: Int) -> Double { median(rates.map { $0[way] / $0[other] }) }
}

func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    let middle = sorted.count / 2
    return sorted.count.isMultiple(of: 2) ? (sorted[middle - 1] + sorted[middle]) / 2 : sorted[middle]
}

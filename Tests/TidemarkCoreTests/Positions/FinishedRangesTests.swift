import Testing
import TidemarkCore

@Suite struct FinishedRangesTests {
    @Test func `a run without a gap is one range`() {
        var finished = FinishedRanges()
        for id in [3, 1, 5, 4] as [StreamID] { finished.insert(id...id) }
        #expect(finished.ranges == [1...1, 3...5])
        finished.insert(2...2)
        #expect(finished.ranges == [1...5])
        #expect(finished.endOfRun(after: 0) == 5)
        #expect(finished.endOfRun(after: 3) == 5)
        #expect(finished.endOfRun(after: 5) == 5)
    }

    @Test func `a range that covers others replaces them`() {
        var finished = FinishedRanges()
        for id in [2, 4, 6, 20] as [StreamID] { finished.insert(id...id) }
        finished.insert(3...10)
        #expect(finished.ranges == [2...10, 20...20])
    }

    @Test func `the highest range is forgotten beyond the bound`() {
        var finished = FinishedRanges(maximumCount: 2)
        for id in [10, 20, 30] as [StreamID] { finished.insert(id...id) }
        #expect(finished.ranges == [10...10, 20...20])
        finished.insert(5...5)
        #expect(finished.ranges == [5...5, 10...10])
        finished.insert(11...30)
        #expect(finished.ranges == [5...5, 10...30])
    }

    @Test func `ranges below an ID are forgotten`() {
        var finished = FinishedRanges()
        for id in [1, 3, 5] as [StreamID] { finished.insert(id...id) }
        finished.removeRanges(endingBelow: 3)
        #expect(finished.ranges == [3...3, 5...5])
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `it is a set of IDs`(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var finished = FinishedRanges()
        var model: Set<Int64> = []
        for _ in 0..<200 {
            let lower = Int64.random(in: 0...80, using: &random)
            let upper = lower + (Bool.random(using: &random) ? 0 : Int64.random(in: 0...6, using: &random))
            finished.insert(StreamID(lower)...StreamID(upper))
            model.formUnion(lower...upper)
            let wrong = (Int64(0)...90).first { id in
                var end = id
                while model.contains(end + 1) { end += 1 }
                return finished.contains(StreamID(id)) != model.contains(id)
                    || finished.endOfRun(after: StreamID(id)) != StreamID(end)
            }
            #expect(wrong == nil)
            for (left, right) in zip(finished.ranges, finished.ranges.dropFirst()) {
                #expect(left.upperBound.rawValue + 1 < right.lowerBound.rawValue)
            }
        }
    }

    @Test(arguments: 0..<20 as Range<UInt64>, [3, 4_096])
    func `many runs at once are the same as one after the other`(seed: UInt64, maximumCount: Int) {
        var random = SplitMix64(seed: seed)
        for _ in 0..<20 {
            var one = FinishedRanges(maximumCount: maximumCount)
            for _ in 0..<Int.random(in: 0...10, using: &random) {
                let lower = Int64.random(in: 0...80, using: &random)
                one.insert(StreamID(lower)...StreamID(lower + Int64.random(in: 0...4, using: &random)))
            }
            var runs: [ClosedRange<StreamID>] = []
            var next = Int64.random(in: 0...10, using: &random)
            for _ in 0..<Int.random(in: 1...12, using: &random) {
                let upper = next + Int64.random(in: 0...5, using: &random)
                runs.append(StreamID(next)...StreamID(upper))
                next = upper + Int64.random(in: 1...9, using: &random)
            }
            var other = one
            other.insert(ascending: runs)
            var unbounded = FinishedRanges()
            for run in one.ranges + runs { unbounded.insert(run) }
            #expect(other.ranges == Array(unbounded.ranges.prefix(maximumCount)))
        }
    }
}

import Testing
import TidemarkCore

@Suite struct InFlightIDsTests {
    private func ids(_ range: ClosedRange<Int64>) -> InFlightIDs {
        var ids = InFlightIDs()
        for id in range { ids.insert(StreamID(id), scope: Int(id), since: .zero, deadline: .seconds(id)) }
        return ids
    }

    @Test func `what finishes behind one that is stuck is passed with it`() {
        var ids = ids(1...4)
        var passed: [StreamID] = []
        _ = ids.finish(3) { passed.append($0) }
        _ = ids.finish(2) { passed.append($0) }
        #expect(passed.isEmpty)
        #expect(ids.lowest?.id == 1)
        _ = ids.finish(1) { passed.append($0) }
        #expect(passed == [1, 2, 3])
        #expect(ids.lowest?.id == 4 && ids.count == 1)
    }

    @Test func `an ID finishes once`() {
        var ids = ids(1...3)
        let answers = [2, 2, 9].map { ids.finish($0) { _ in } }
        #expect(answers == [true, false, false])
        #expect(ids.count == 2)
    }

    @Test func `a later answer that came first is sorted in`() {
        var ids = InFlightIDs()
        for id in [5, 6, 3, 4] as [StreamID] { ids.insert(id, scope: 0, since: .zero, deadline: .zero) }
        #expect(ids.inFlight.map(\.id) == [3, 4, 5, 6])
    }

    @Test func `only scopes that still hold their IDs expire`() {
        var ids = ids(1...4)
        // Another scope, of another life of the database, may have had the ID.
        let answers = [
            ids.giveUp(2, scope: 9), ids.giveUp(2, scope: 2), ids.giveUp(2, scope: 2), ids.giveUp(7, scope: 7),
        ]
        #expect(answers == [false, true, false, false])
        _ = ids.finish(3) { _ in }
        #expect(ids.expired(at: .seconds(3)) == [1: [1]])
        #expect(ids.earliestDeadline == .seconds(1))
    }

    /// Guards the bound on memory: one stuck ID, and many that come and go behind it.
    @Test func `memory follows the number of IDs in flight`() {
        var ids = InFlightIDs()
        ids.insert(1, scope: 0, since: .zero, deadline: .zero)
        var passed = 0
        for id in 2...100_000 as ClosedRange<Int64> {
            ids.insert(StreamID(id), scope: 0, since: .zero, deadline: .zero)
            _ = ids.finish(StreamID(id)) { _ in passed += 1 }
        }
        #expect(ids.count == 1)
        #expect(passed > 98_000)
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `every ID is passed once and only when it is finished`(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var ids = ids(1...3_000)
        var passed: Set<StreamID> = []
        var finished: Set<StreamID> = []
        for id in (1...3_000 as ClosedRange<Int64>).map(StreamID.init(_:)).shuffled(using: &random) {
            finished.insert(id)
            _ = ids.finish(id) { id in
                #expect(finished.contains(id) && !passed.contains(id))
                passed.insert(id)
            }
        }
        #expect(passed.count == 3_000 && ids.count == 0)
    }

    /// IDs are looked for where they ought to lie: they are found where they do not, too.
    @Test(arguments: 0..<20 as Range<UInt64>)
    func `an ID is found however unevenly they lie`(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var ids = InFlightIDs()
        var model: Set<StreamID> = []
        var used: Set<StreamID> = []
        for _ in 0..<400 {
            let power = Int64(1) << Int64.random(in: 0...61, using: &random)
            let id = StreamID(power + Int64.random(in: 0...40, using: &random))
            // An ID comes once.
            guard used.insert(id).inserted else { continue }
            model.insert(id)
            ids.insert(id, scope: 0, since: .zero, deadline: .zero)
            if Bool.random(using: &random), let finished = model.sorted().randomElement(using: &random) {
                let wasInFlight = ids.finish(finished) { _ in }
                #expect(wasInFlight)
                model.remove(finished)
            }
        }
        #expect(ids.inFlight.map(\.id) == model.sorted())
        for id in model {
            let above = StreamID(id.rawValue + 1)
            #expect(ids.contains(id) && ids.contains(above) == model.contains(above))
        }
    }
}

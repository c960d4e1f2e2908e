import Testing
import TidemarkCore

@Suite struct PositionHeapTests {
    @Test func `only the epoch of the member is raised`() {
        var heap = PositionHeap([Writer("p1", epoch: 3): 5])
        let strangers = [Writer("p1", epoch: 2), Writer("p1", epoch: 4), Writer("p2", epoch: 3)]
        let answers = strangers.map { heap.raise($0, to: 9) }
        #expect(answers == [false, false, false])
        let raises = [5, 6, 6].map { heap.raise(Writer("p1", epoch: 3), to: $0) }
        #expect(raises == [false, true, false])
        #expect(heap.least == 6)
    }

    @Test(arguments: [1, 2, 3, 10, 100])
    func `the least is the least`(count: Int) throws {
        var random = SplitMix64(seed: UInt64(count))
        var model: [Writer: StreamID] = [:]
        for number in 1...count {
            model[Writer(try InstanceName(validating: "p\(number)"), epoch: number)] =
                StreamID(Int64.random(in: 0...20, using: &random))
        }
        var heap = PositionHeap(model)
        for _ in 0..<2_000 {
            let writer = try #require(model.keys.randomElement(using: &random))
            let position = StreamID(Int64.random(in: 0...10_000, using: &random))
            let before = try #require(model[writer])
            let isRaised = heap.raise(writer, to: position)
            #expect(isRaised == (position > before))
            model[writer] = max(position, before)
            #expect(heap.least == model.values.min())
        }
        #expect(Dictionary(uniqueKeysWithValues: heap.all.map { ($0.writer, $0.position) }) == model)
    }
}

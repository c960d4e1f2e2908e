import Testing
import TidemarkTesting

/// The processes of a processor, in many histories: no two handlers of one key, in order, nothing passed that was not handled, and
/// partitions that are left behind find an owner.
@Suite struct ProcessorSimulationTests {
    @Test func `in all histories a processor does what it promises`() throws {
        for seed in 0..<100 as Range<UInt64> {
            var simulation = ProcessorSimulation(seed: seed)
            try simulation.run()
        }
    }

    @Test(arguments: ProcessorSimulation.Rule.allCases)
    func `without the rule it does not`(rule: ProcessorSimulation.Rule) throws {
        var found: ProcessorSimulation.Failure?
        // From a seed on at which its turn comes soon, so that the test is short.
        for seed in 100..<500 as Range<UInt64> where found == nil {
            var simulation = ProcessorSimulation(seed: seed, withoutRule: rule)
            do { try simulation.run() } catch { found = error }
        }
        let failure = try #require(found)
        switch rule {
        case .claimCompared: #expect(failure.kind == .twoHandlersOfOneKey)
        case .lowestNotDone: #expect(failure.kind == .passedUnhandled)
        }
        print("without \(rule.rawValue): \(failure)")
        // With it the same history is as it should be.
        var simulation = ProcessorSimulation(seed: failure.seed)
        try simulation.run()
    }
}

import Testing
import TidemarkTesting

/// Every rule is needed: without it the simulator finds an event that a reader skips, and with it the same history is
/// as it should be.
@Suite struct SimulationTeethTests {
    @Test(arguments: SimulationConfiguration.Rule.allCases)
    func withoutTheRuleAnEventIsSkipped(rule: SimulationConfiguration.Rule) throws {
        // From a seed on at which each rule's turn comes soon, so that the test is short. The rarest has its own: it takes a
        // crash of the database before anybody commits, and heartbeats commit.
        let first: UInt64 = rule == .durableBeforeKnown ? 3200 : 5410
        let found = firstFailure(SimulationConfiguration(withoutRule: rule), from: first, seeds: 10_000)
        let failure = try #require(found)
        #expect(failure.kind == .skippedEvent)
        #expect(failure.withoutRule == rule)
        print("without \(rule.rawValue), seed \(failure.seed) skips an event")
        var simulation = Simulation(seed: failure.seed)
        try simulation.run()
    }
}

import Testing
import TidemarkTesting

/// Every rule is needed: without it the simulator finds an event that a reader skips, and with it the same history is
/// as it should be.
@Suite struct SimulationTeethTests {
    @Test(arguments: SimulationConfiguration.Rule.allCases)
    func withoutTheRuleAnEventIsSkipped(rule: SimulationConfiguration.Rule) throws {
        let failure = try #require(firstFailure(SimulationConfiguration(withoutRule: rule), seeds: 10_000))
        #expect(failure.kind == .skippedEvent)
        #expect(failure.withoutRule == rule)
        print("without \(rule.rawValue), seed \(failure.seed) skips an event")
        var simulation = Simulation(seed: failure.seed)
        try simulation.run()
    }
}

import Testing
import TidemarkTesting

/// Every rule is needed: without it the simulator finds an event that a reader skips.
@Suite struct SimulationTeethTests {
    @Test(arguments: SimulationConfiguration.Rule.allCases)
    func withoutTheRuleAnEventIsSkipped(rule: SimulationConfiguration.Rule) throws {
        let failure = firstFailure(SimulationConfiguration(withoutRule: rule), seeds: 10_000)
        #expect(failure?.kind == .skippedEvent)
    }
}

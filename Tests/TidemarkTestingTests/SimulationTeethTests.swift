import Testing
import TidemarkTesting

/// Every rule is needed: without it the simulator finds an event that a reader skips, a key whose history is not one chain, an
/// effect that happens twice, or a processor that does two things at once or passes what it has not handled; and with it the same
/// history is as it should be.
@Suite struct SimulationTeethTests {
    @Test(arguments: SimulationConfiguration.Rule.allCases)
    func `without the rule an event is skipped, decided on what is not the newest, applied twice, or not handled`(
        rule: SimulationConfiguration.Rule
    ) async throws {
        // From a seed on at which each rule's turn comes soon, so that the test is short. The rarest have their own.
        let first: UInt64 =
            switch rule {
            case .durableBeforeKnown: 5710
            case .epochOfAnnouncements: 7580
            case .voidIsNotKnown: 8330
            case .incarnationCheck: 7390
            case .fence: 203_250
            case .membershipVersion: 10_250
            case .positionsAreNotRows: 5940
            case .eras: 14_980
            case .checkpointBefore: 7630
            case .incarnationOfJoin: 12_275_876_315_413_527_290
            case .versionJump: 17_762_758_136_965_190_280
            default: 5410
            }
        var configuration = SimulationConfiguration(withoutRule: rule)
        configuration.promotes = [.eras, .incarnationOfJoin, .versionJump, .checkpointBefore].contains(rule)
        try await expectFailure(of: rule, configuration, from: first)
    }

    /// What keys, pruning, consumers and processors rest on is needed where a copy that lags takes over, too.
    @Test(
        arguments: [
            (SimulationConfiguration.Rule.newestOfKey, 5415), (.pruningBelowPositions, 5414),
            (.checkpointBeginning, 5410),
            (.claimCompared, 5540), (.lowestNotDone, 5490),
        ] as [(SimulationConfiguration.Rule, UInt64)])
    func `beside promotions it is needed too`(rule: SimulationConfiguration.Rule, first: UInt64) async throws {
        var configuration = SimulationConfiguration(withoutRule: rule)
        configuration.promotes = true
        try await expectFailure(of: rule, configuration, from: first)
    }

    private func expectFailure(
        of rule: SimulationConfiguration.Rule, _ configuration: SimulationConfiguration, from first: UInt64
    ) async throws {
        var configuration = configuration
        let found = await firstFailure(configuration, from: first, seeds: 10_000)
        let failure = try #require(found)
        let kind: SimulationFailure.Kind =
            switch rule {
            case .newestOfKey: .keyHistory
            case .checkpointBeginning: .appliedTwice
            case .claimCompared: .twoHandlersOfOneKey
            case .lowestNotDone, .checkpointBefore: .passedUnhandled
            default: .skippedEvent
            }
        #expect(failure.kind == kind)
        #expect(failure.withoutRule == rule)
        print("without \(rule.rawValue), seed \(failure.seed) fails: \(failure.problem)")
        configuration.withoutRule = nil
        var simulation = Simulation(seed: failure.seed, configuration: configuration)
        try simulation.run()
    }
}

import Foundation
import TestSupport
import Testing
import Tidemark
import TidemarkTesting

@Suite struct SimulationTests {
    /// A failure prints its seed, and the command that replays it.
    @Test(arguments: SimulationConfiguration.Mode.allCases, 0..<2)
    func nothingFailsInFreshSeeds(mode: SimulationConfiguration.Mode, part: Int) throws {
        for _ in 0..<1000 {
            var simulation = Simulation(
                seed: .random(in: 0 ... .max), configuration: SimulationConfiguration(mode: mode))
            try simulation.run()
        }
    }

    @Test(arguments: SimulationConfiguration.Mode.allCases)
    func theSameSeedGivesTheSameHistory(mode: SimulationConfiguration.Mode) throws {
        var hashes: Set<UInt64> = []
        for seed in 0..<50 as Range<UInt64> {
            var first = Simulation(seed: seed, configuration: SimulationConfiguration(mode: mode))
            var second = first
            try first.run()
            try second.run()
            #expect(first.historyHash == second.historyHash)
            #expect(first.events == second.events && first.stepCount == second.stepCount)
            hashes.insert(first.historyHash)
        }
        #expect(hashes.count == 50)
    }

    /// Swift's dictionaries are in another order in each process; the history is not.
    @Test func theHistoryIsTheSameInAnotherProcess() async throws {
        var configuration = SimulationConfiguration(mode: .liveness)
        configuration.recordsHistory = true
        var simulation = Simulation(seed: 42, configuration: configuration)
        try simulation.run()
        let outcome = try await Program("Simulate", ["--seed", "42", "--mode", "liveness"]).outcome()
        let hash = String(simulation.historyHash, radix: 16)
        #expect(outcome.lines.last?.hasSuffix("the history's hash is \(hash)") == true)
    }

    @Test func aFailureIsReplayedByItsSeed() throws {
        let configuration = SimulationConfiguration(withoutRule: .watermarkBeforeSnapshot)
        let failure = try #require(firstFailure(configuration, seeds: 1000))
        #expect(failure.replayCommand == "scripts/simulate --seed \(failure.seed) --without watermarkBeforeSnapshot")
        #expect(failure.description.contains(failure.replayCommand))
        var again = configuration
        again.recordsHistory = true
        var simulation = Simulation(seed: failure.seed, configuration: again)
        let replayed = #expect(throws: SimulationFailure.self) { try simulation.run() }
        #expect(replayed?.kind == .skippedEvent && replayed?.step == failure.step)
        #expect(replayed?.problem == failure.problem)
        #expect(replayed?.history.last?.contains(failure.problem) == true)
    }

    /// By the time that this thread computes: other tests run beside it.
    @Test func itTakesTwentyThousandStepsASecond() throws {
        let start = try threadTime()
        var steps = 0
        for seed in 0..<100 as Range<UInt64> {
            var simulation = Simulation(seed: seed)
            try simulation.run()
            steps += simulation.stepCount
        }
        let perSecond = Double(steps) / (try threadTime() - start)
        #expect(perSecond > 20_000)
    }

    private func threadTime() throws -> Double {
        var time = timespec()
        try #require(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) == 0)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}

/// What goes wrong first in the seeds from 0 on.
func firstFailure(_ configuration: SimulationConfiguration, seeds: UInt64) -> SimulationFailure? {
    for seed in 0..<seeds {
        var simulation = Simulation(seed: seed, configuration: configuration)
        do {
            try simulation.run()
        } catch {
            return error
        }
    }
    return nil
}

import TestSupport
import Testing
import TidemarkTesting

/// The program that people run: it goes on over fresh seeds, and replays those that fail.
@Suite struct SimulateProgramTests {
    private func run(_ arguments: String...) async throws -> Outcome { try await run(arguments) }

    private func run(_ arguments: [String]) async throws -> Outcome {
        try await Program("Simulate", arguments).outcome()
    }

    /// Swift's dictionaries are in another order in each process; the history is not, nor is its text.
    @Test(arguments: SimulationConfiguration.Mode.allCases, [42, 43, 44, 45, 139] as [UInt64])
    func `the history is the same in another process`(mode: SimulationConfiguration.Mode, seed: UInt64) async throws {
        var configuration = SimulationConfiguration(mode: mode)
        configuration.recordsHistory = true
        var simulation = Simulation(seed: seed, configuration: configuration)
        try simulation.run()
        let hash = String(simulation.historyHash, radix: 16)
        let end = ["\(simulation.stepCount) steps; the history's hash is \(hash)", "nothing fails", ""]
        let result = try await run("--seed", "\(seed)", "--mode", mode.rawValue)
        #expect(result.text == (simulation.historyLines + end).joined(separator: "\n"))
        #expect(result.status == 0)
    }

    @Test func `a failure ends it with the command that replays it`() async throws {
        let result = try await run("--from", "0", "--seeds", "1000", "--without", "watermarkBeforeSnapshot")
        #expect(result.status == 1)
        let last = try #require(result.text.split(separator: "\n").last)
        let failure = try #require(
            await firstFailure(
                SimulationConfiguration(withoutRule: .watermarkBeforeSnapshot),
                modes: SimulationConfiguration.Mode.allCases, seeds: 1000))
        #expect(last.hasSuffix(failure.replayCommand))
        let arguments = failure.replayCommand.split(separator: " ").dropFirst().map(String.init)
        let replayed = try await run(arguments)
        #expect(replayed.status == 1)
        #expect(replayed.text.hasSuffix("\(last)\n"))
    }

    @Test func `it goes on for as long as it is told`() async throws {
        let result = try await run("--minutes", "0.01")
        #expect(result.status == 0)
        let lines = result.text.split(separator: "\n")
        #expect(lines.first?.hasPrefix("from seed ") == true)
        #expect(lines.last?.hasSuffix("steps a second: nothing fails") == true)
    }

    @Test(arguments: [
        ["--minutes", "0"], ["--minutes", "x"], ["--seeds", "-1"], ["--seed", "1", "--seeds", "2"],
        ["--mode", "unsafe"], ["--without", "anything"], ["42"],
    ])
    func `bad arguments are a usage error`(arguments: [String]) async throws {
        #expect(try await run(arguments).status == 64)
    }
}

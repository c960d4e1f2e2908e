import ArgumentParser
import Foundation
import TidemarkTesting

/// Runs the simulator: for a while over fresh seeds, or one seed again, with its history.
@main
struct Simulate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scripts/simulate", abstract: "Runs the simulator over many seeds, or replays one.")

    @Option(help: "Go on for so many minutes, or until something fails.")
    var minutes: Double?

    @Option(help: "Run so many seeds.")
    var seeds: Int?

    @Option(help: "Take seeds from this one upwards, not random ones.")
    var from: UInt64?

    @Flag(help: "Print each seed before it runs: for one that ends the program.")
    var verbose = false

    @Option(help: "Replay this seed and print its history.")
    var seed: UInt64?

    @Option(help: "safety, liveness; without it one after the other (safety, where a seed is replayed).")
    var mode: SimulationConfiguration.Mode?

    @Option(help: "Switch a rule off, to see what then happens.")
    var without: SimulationConfiguration.Rule?

    func run() throws {
        if let seed {
            try replay(seed)
        } else {
            try runMany()
        }
    }

    private func replay(_ seed: UInt64) throws {
        var configuration = SimulationConfiguration(mode: mode ?? .safety, withoutRule: without)
        configuration.recordsHistory = true
        var simulation = Simulation(seed: seed, configuration: configuration)
        do {
            try simulation.run()
        } catch {
            for line in error.history { print(line) }
            throw ExitCode.failure
        }
        for line in simulation.historyLines { print(line) }
        print("nothing fails; the history's hash is \(String(simulation.historyHash, radix: 16))")
    }

    private func runMany() throws {
        let start = ContinuousClock.now
        let end = minutes.map { start + .seconds($0 * 60) }
        var run = 0
        var steps = 0
        while seeds.map({ run < $0 }) ?? true, end.map({ ContinuousClock.now < $0 }) ?? (seeds != nil || run < 10_000) {
            let modes = SimulationConfiguration.Mode.allCases
            let configuration = SimulationConfiguration(
                mode: mode ?? modes[run % modes.count], withoutRule: without)
            let seed = from.map { $0 &+ UInt64(run) } ?? .random(in: 0 ... .max)
            if verbose { print("seed \(seed), \(configuration.mode.rawValue)") }
            var simulation = Simulation(seed: seed, configuration: configuration)
            run += 1
            do {
                try simulation.run()
            } catch {
                print("\(run). \(error)")
                throw ExitCode.failure
            }
            steps += simulation.stepCount
        }
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        print("\(run) seeds, \(steps) steps, \(Int(Double(steps) / seconds)) steps a second: nothing fails")
    }
}

extension SimulationConfiguration.Mode: ExpressibleByArgument {}
extension SimulationConfiguration.Rule: ExpressibleByArgument {}

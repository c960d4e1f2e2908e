import ArgumentParser
import Foundation
import TidemarkTesting

/// Runs the simulator: for a while over fresh seeds, or one seed again, with its history.
@main
struct Simulate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scripts/simulate",
        abstract: "Runs writers, readers, faults and the real state machines from seeds, and checks every step.",
        discussion: """
            Without arguments it runs 10,000 fresh seeds. Each seed is one history, the same each time; the first that \
            breaks a promise ends the program with status 1, its seed, and the command that replays it:

              scripts/simulate --minutes 10
              scripts/simulate --seed 42 --mode liveness

            In safety mode faults go on until the end, and nothing bad may ever happen. In liveness mode they then \
            stop, and the minimum has to reach the newest event in time.
            """)

    @Option(help: "Go on for so many minutes, or until something fails.")
    var minutes: Double?

    @Option(help: "Run so many seeds.")
    var seeds: Int?

    @Option(help: "Take the seeds from this one upwards. (Otherwise from a random one, which is printed.)")
    var from: UInt64?

    @Flag(help: "Print each seed before it runs: for one that ends the program itself.")
    var verbose = false

    @Option(help: "Replay this seed and print its history.")
    var seed: UInt64?

    @Option(help: "Without it seeds take turns, and one that is replayed runs in safety mode.")
    var mode: SimulationConfiguration.Mode?

    @Option(help: "Switch a rule off, to see what then happens.")
    var without: SimulationConfiguration.Rule?

    @Flag(help: "A copy of the database that lags may take over, and what it lacks is lost.")
    var promotes = false

    func validate() throws {
        if let minutes, !(minutes > 0 && minutes < 1e6) { throw ValidationError("--minutes has to be above 0.") }
        if let seeds, seeds <= 0 { throw ValidationError("--seeds has to be above 0.") }
        if seed != nil, minutes != nil || seeds != nil || from != nil || verbose {
            throw ValidationError("--seed replays one seed: it goes with --mode, --promotes and --without only.")
        }
    }

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
        configuration.promotes = promotes
        var simulation = Simulation(seed: seed, configuration: configuration)
        var failure: SimulationFailure?
        do {
            try simulation.run()
        } catch {
            failure = error
        }
        for line in simulation.historyLines { print(line) }
        print("\(simulation.stepCount) steps; the history's hash is \(String(simulation.historyHash, radix: 16))")
        if let failure {
            print(failure.description)
            throw ExitCode.failure
        }
        print("nothing fails")
    }

    private func runMany() throws {
        let first = from ?? .random(in: 0 ... .max)
        var progress = Progress(end: minutes.map { .seconds($0 * 60) })
        let limit = seeds ?? (minutes == nil ? 10_000 : .max)
        say("from seed \(first) on")
        let modes = SimulationConfiguration.Mode.allCases
        while progress.seeds < limit, !progress.isOver {
            let seed = first &+ UInt64(progress.seeds)
            var configuration = SimulationConfiguration(
                mode: mode ?? modes[progress.seeds % modes.count], withoutRule: without)
            configuration.promotes = promotes
            if verbose { say("seed \(seed), \(configuration.mode.rawValue)") }
            var simulation = Simulation(seed: seed, configuration: configuration)
            do {
                try simulation.run()
            } catch {
                progress.add(steps: simulation.stepCount)
                say("\(progress)")
                say(error.description)
                throw ExitCode.failure
            }
            progress.add(steps: simulation.stepCount)
            if progress.isDue() { say("\(progress)") }
        }
        say("\(progress): nothing fails")
    }

    /// At once, also into a pipe: a program that ends in the middle has said where it was.
    private func say(_ line: String) {
        FileHandle.standardOutput.write(Data((line + "\n").utf8))
    }
}

/// How far the program has come, told every ten seconds.
private struct Progress: CustomStringConvertible {
    let end: Duration?
    private(set) var seeds = 0
    private var steps = 0
    private var told = Duration.zero
    private let start = ContinuousClock.now

    init(end: Duration?) {
        self.end = end
    }

    private var elapsed: Duration { ContinuousClock.now - start }
    var isOver: Bool { end.map { elapsed >= $0 } ?? false }

    mutating func add(steps: Int) {
        seeds += 1
        self.steps += steps
    }

    mutating func isDue() -> Bool {
        guard elapsed - told >= .seconds(10) else { return false }
        told = elapsed
        return true
    }

    var description: String {
        let seconds = elapsed / .seconds(1)
        return "\(seeds) seeds, \(steps) steps in \(Int(seconds)) s, \(Int(Double(steps) / seconds)) steps a second"
    }
}

extension SimulationConfiguration.Mode: ExpressibleByArgument {}
extension SimulationConfiguration.Rule: ExpressibleByArgument {}

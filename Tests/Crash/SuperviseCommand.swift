import ArgumentParser
import Foundation
import TestSupport

/// The run: load and faults for a while, then an end in order, then the checks.
struct SuperviseCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "supervise", abstract: "Writers and readers under load, killed and stopped at random.")

    @Option(help: "How long faults go on.") var seconds = 120.0
    @Option(help: "Of the faults and the load; a random one without it.") var seed: UInt64?
    @Option(help: "How long a process is stopped at most, in seconds.") var longestStop = 10.0
    @Option(help: "Within how many seconds the minimum has to pass a writer that was killed.") var bar = 1.5
    @Option(help: "How many times as long that may take, on a machine that does other things too.") var slack = 1.0
    @Option(help: "Where everything is kept; a new folder without it.") var folder: String?

    func run() async throws {
        let seed = seed ?? .random(in: 0 ... .max)
        let folder = folder ?? FileManager.default.temporaryDirectory.path + "/tidemark-crash-\(seed)"
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        print("seed \(seed), \(seconds) s, in \(folder)")
        var run = try CrashRun(folder: folder, seed: seed, longestStop: longestStop)
        do {
            try await run.start()
            try await run.breakThings(for: .seconds(seconds))
            try await run.end()
            let result = try await run.check()
            for line in run.summary + result { print(line) }
            try run.checkBar(.seconds(bar * slack))
            print("nothing was lost, skipped or repeated")
        } catch {
            run.children.killAll()
            for line in run.summary { print(line) }
            print("FAILED: \(error)")
            print("replay: scripts/crash --seconds \(seconds) --seed \(seed); what is left is in \(folder)")
            throw ExitCode.failure
        }
    }
}

import ArgumentParser
import Foundation
import TestSupport
import Tidemark
import TidemarkTesting

/// Four writers and two consumers on a PostgreSQL server that is killed again and again. Nobody starts them anew.
struct ServerKillsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "server-kills", abstract: "Kills the PostgreSQL server under load, and checks what was kept.")

    private static let writers = (1...4).map { "w\($0)" }
    private static let readers = ["r1", "r2"]

    @Option(help: "How often it is killed.") var kills = 20
    @Option(help: "Of the pauses and the load; a random one without it.") var seed: UInt64?

    func run() async throws {
        let seed = seed ?? .random(in: 0 ... .max)
        var random = SplitMix64(seed: seed)
        let folder = FileManager.default.temporaryDirectory.path + "/tidemark-server-kills-\(seed)"
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        print("seed \(seed), \(kills) kills, in \(folder)")
        let server = try await PostgresServerProcess()
        let participant = try Participant.parse(["--folder", folder, "--server", server.address()])
        let children = Children(folder: folder)
        let place = ["--server", server.address()]
        do {
            for name in Self.writers {
                let own = ["writer", "--instance", name, "--number", "1", "--seed", "\(random.next())"]
                _ = try await children.start(name, own + place)
            }
            for name in Self.readers { _ = try await children.start(name, ["reader", "--consumer", name] + place) }
            var longest = Duration.zero
            for kill in 1...kills {
                let before = try acknowledged(participant)
                try await eventually("everybody writes") {
                    try children.check()
                    return try zip(acknowledged(participant), before).allSatisfy { $0 >= $1 + 20 }
                }
                // A moment that is drawn, in the middle of whatever is under way.
                try await Task.sleep(for: .seconds(Double.random(in: 0...0.5, using: &random)))
                let start = ContinuousClock.now
                try await server.kill()
                // For so long nobody serves.
                try await Task.sleep(for: .seconds(Double.random(in: 0...1, using: &random)))
                try await server.start()
                let up = ContinuousClock.now
                // Readers too: they have to come above what was there when the server was back.
                let log = try await participant.open()
                let newest = try await log.store.status(of: log.stream)?.newestEvent ?? 0
                try await eventually("readers go on after kill \(kill)") {
                    try children.check()
                    return try await log.store.status(of: log.stream)?.consumers.allSatisfy { $0.position > newest }
                        == true
                }
                await log.shutDown()
                longest = max(longest, up.duration(to: .now))
                print(
                    "kill \(kill): down for \(Figures.text(start.duration(to: up) / .seconds(1))) s, readers above \(newest) "
                        + "\(Figures.text(up.duration(to: .now) / .seconds(1))) s later")
            }
            for line in try await end(participant, children) { print(line) }
            print("the readers went on within \(Figures.text(longest / .seconds(1))) s")
            print("nothing was lost, skipped or repeated")
            try? FileManager.default.removeItem(atPath: folder)
        } catch {
            children.killAll()
            print("FAILED: \(error)")
            print("what was written down is in \(folder)")
            throw ExitCode.failure
        }
    }

    /// How many events of each writer were acknowledged so far.
    private func acknowledged(_ participant: Participant) throws -> [Int] {
        try Self.writers.map { try AppendedFile.lines(of: participant.acknowledgements(of: $0)).count }
    }

    private func end(_ participant: Participant, _ children: Children) async throws -> [String] {
        for name in Self.writers { try await children.end(name) }
        let log = try await participant.open()
        try await eventually("both readers are at the end") {
            try children.check()
            guard let status = try await log.store.status(of: log.stream) else { return false }
            return status.consumers.allSatisfy { $0.position >= status.newestEvent }
        }
        for name in Self.readers { try await children.end(name) }
        let all = try await CrashRun.allEvents(log)
        let acknowledged = try CrashRun.checkAcknowledgements(participant, writers: Self.writers, all: all)
        var lines = ["\(all.count) events, \(acknowledged) of them acknowledged"]
        for reader in Self.readers {
            var check = DeliveryCheck(ordersCommits: false)
            for fields in try AppendedFile.lines(of: participant.deliveries(to: reader)) {
                try check.take(Delivery(fields: fields))
            }
            try check.finish(all: all)
            guard check.restarts == 0 else { throw Failure("\(reader) was started again") }
            let audit = try await log.store.audit(log.stream, consumer: ConsumerName(validating: reader), limit: 10)
            guard audit.isComplete else { throw Failure("the audit of \(reader) says \(audit.findings)") }
            lines.append(
                "\(reader): \(check.delivered.count) events in order, \(check.batches.count) batches, by one process")
        }
        await log.shutDown()
        return lines
    }
}

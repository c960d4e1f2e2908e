import ArgumentParser
import Foundation
import TestSupport
import Tidemark
import TidemarkTesting

/// How long after the commit of a checkpoint in another process `EventLog.wait(for:toPass:timeout:)` returns.
struct WaitLatencyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "wait-latency", abstract: "Measures how soon a waiting process hears of another one's checkpoint.")

    @Option(help: "How many events are written, one after another.") var events = 1_000
    @Flag(help: "On a PostgreSQL server that is started for it.") var postgres = false
    @Option(help: "How many milliseconds half of them may take.") var bar = 3.0

    func run() async throws {
        let folder = try TemporaryFolder()
        let server = postgres ? try await PostgresServerProcess() : nil
        let address = try await server?.newDatabase()
        var arguments = ["--folder", folder.path]
        if let address { arguments += ["--server", address] }
        let participant = try Participant.parse(arguments)
        let log = try await participant.open(as: "w1")
        let service = Task { try await log.run() }
        let children = Children(folder: folder.path)
        defer { children.killAll() }
        let child = try await children.start(
            "passer", ["passer"] + (address.map { ["--server", $0] } ?? []))
        var returned: [Int64: Int64] = [:]
        for number in 0..<events {
            let id = try await log.persist(Event(id: "e\(number)", type: "noted"))
            guard try await log.wait(for: "passer", toPass: id, timeout: .seconds(30)) == .reached else {
                throw Failure("event \(id) was not passed")
            }
            returned[id.rawValue] = MonotonicTime.now
            // So that each is waited for from a quiet moment on, as in a request of a user.
            try await Task.sleep(for: .milliseconds(2))
        }
        try await children.end("passer")
        service.cancel()
        try await service.value
        var milliseconds: [Double] = []
        for line in child.lines {
            let words = line.split(separator: " ").compactMap { Int64($0) }
            guard words.count == 2, let end = returned[words[0]] else { continue }
            milliseconds.append(Double(end - words[1]) / 1e6)
        }
        guard milliseconds.count == events else { throw Failure("\(milliseconds.count) of \(events) were measured") }
        milliseconds.sort()
        func at(_ part: Double) -> String {
            String(format: "%.2f", milliseconds[min(events - 1, Int(Double(events) * part))])
        }
        print("\(events) waits: p50 \(at(0.5)) ms, p99 \(at(0.99)) ms, max \(at(1)) ms after the checkpoint's commit")
        guard milliseconds[events / 2] <= bar else { throw Failure("that is more than \(bar) ms") }
    }
}

/// A process of this measurement: it passes what is written, and says when each checkpoint was committed.
struct PasserCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "passer", shouldDisplay: false)

    @OptionGroup var participant: Participant

    func run() async throws {
        let log = try await participant.open()
        let service = Task { try await log.run() }
        let consumer = try await log.consumer("passer")
        Starter.say("ready")
        let reading = Task {
            for try await batch in consumer.events {
                // The call announces the checkpoint too: what is measured is from here on at the latest.
                let begin = MonotonicTime.now
                try await consumer.checkpoint(batch)
                for event in batch.events { Starter.say("\(event.streamID) \(begin)") }
            }
        }
        await Starter.ended()
        reading.cancel()
        do { try await reading.value } catch is CancellationError {}
        service.cancel()
        try await service.value
    }
}

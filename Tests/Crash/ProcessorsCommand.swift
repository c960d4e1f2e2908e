import ArgumentParser
import Foundation
import GRDB
import TestSupport
import Tidemark
import TidemarkSQLite
import TidemarkTesting

/// The run for processors: two processes that handle what two writers write, killed and stopped at random.
struct ProcessorsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "processors", abstract: "Processors beside writers, killed and stopped at random.")

    @Option(help: "How long faults go on.") var seconds = 120.0
    @Option(help: "Of the faults and the load; a random one without it.") var seed: UInt64?
    @Option(help: "How long a process is stopped at most, in seconds.") var longestStop = 5.0
    @Option(help: "How many times as long things may take, on a machine that does other things too.") var slack = 1.0
    @Flag(
        help: "On a PostgreSQL server that is started for it, and not in a file. There is no counting in a table there."
    )
    var postgres = false
    @Option(help: "Where everything is kept; a new folder without it.") var folder: String?

    func run() async throws {
        let seed = seed ?? .random(in: 0 ... .max)
        let folder = folder ?? FileManager.default.temporaryDirectory.path + "/tidemark-processors-\(seed)"
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        print("seed \(seed), \(seconds) s, in \(folder)")
        let server = postgres ? try await PostgresServerProcess() : nil
        var run = try ProcessorRun(
            folder: folder, seed: seed, longestStop: longestStop, server: server?.address())
        do {
            try await run.start()
            try await run.breakThings(for: .seconds(seconds))
            try await run.end(within: .seconds(60 * slack))
            for line in try await run.check() { print(line) }
            print("every event was handled, in order, by one at a time" + (postgres ? "" : ", and counted once"))
        } catch {
            run.children.killAll()
            print("FAILED: \(error)")
            print("replay: scripts/crash processors --seconds \(seconds) --seed \(seed); what is left is in \(folder)")
            throw ExitCode.failure
        }
        try await server?.stop()
    }
}

struct ProcessorRun {
    static let processors = ["c1", "c2"]
    static let writers = ["w1", "w2"]

    let children: Children
    let participant: Participant
    /// What each process is told of the server; nothing where there is none.
    private let place: [String]
    let longestStop: Double
    var random: SplitMix64
    private var starts: [String: Int] = [:]
    private var kills = 0
    private var stops = 0
    /// Until when each process was stopped, by the clock that all share.
    private var continued: [String: [Int64]] = [:]

    init(folder: String, seed: UInt64, longestStop: Double, server: String?) throws {
        children = Children(folder: folder)
        place = server.map { ["--server", $0] } ?? []
        participant = try Participant.parse(["--folder", folder] + place)
        self.longestStop = longestStop
        random = SplitMix64(seed: seed)
    }

    mutating func start() async throws {
        for name in Self.writers + Self.processors { try await start(name) }
    }

    private mutating func start(_ name: String) async throws {
        let number = starts[name, default: 0] + 1
        starts[name] = number
        _ = try await children.start(
            name,
            (Self.writers.contains(name)
                ? [
                    "writer", "--instance", name, "--number", "\(number)", "--seed", "\(random.next())", "--keys", "20",
                ]
                : ["processor", "--name", name, "--number", "\(number)"]) + place)
    }

    mutating func breakThings(for duration: Duration) async throws {
        let end = ContinuousClock.now + duration
        while ContinuousClock.now < end {
            let name = (Self.processors + Self.processors + Self.writers).randomElement(using: &random) ?? "c1"
            if Int.random(in: 0..<3, using: &random) < 2 {
                kills += 1
                try await children.kill(name)
                try await pause(upTo: 0.5)
                try await start(name)
            } else {
                stops += 1
                let part = Double.random(in: 0...1, using: &random)
                guard let program = children[name] else { continue }
                program.send(SIGSTOP)
                // Whatever happens, it goes on.
                defer { program.send(SIGCONT) }
                // For how long it is stopped is what is tried; nothing is hoped to have happened by then.
                try await Task.sleep(for: .seconds(max(0.05, longestStop * part * part)))
                continued["\(name)-\(starts[name] ?? 0)", default: []].append(MonotonicTime.now)
            }
            try children.check()
            try await pause(upTo: 1)
        }
    }

    /// Spreads faults over time. What must hold is looked at when all is over.
    private mutating func pause(upTo seconds: Double) async throws {
        try await Task.sleep(for: .seconds(Double.random(in: 0...seconds, using: &random)))
    }

    /// Writers leave; processors handle what is left.
    mutating func end(within limit: Duration) async throws {
        for name in Self.writers { try await children.end(name) }
        let log = try await participant.open()
        let count = participant.consumers.count
        try await eventually("that all consumers are at the end", within: limit) {
            try children.check()
            let newest = await log.health().newestEvent
            let consumers = try await log.consumers()
            return newest > 0 && consumers.count == count && consumers.allSatisfy { $0.position >= newest }
        }
        await log.shutDown()
        for name in Self.processors { try await children.end(name) }
    }

    private func checkCounted(_ ids: [StreamID: String]) async throws {
        let store = try await SQLiteEventStore.open(path: participant.database)
        let counted = try await store.read { try Int64.fetchAll($0, sql: "SELECT stream_id FROM counted") }
        await store.close()
        guard counted.count == ids.count, Set(counted) == Set(ids.keys.map(\.rawValue)) else {
            throw Failure("\(counted.count) events were counted, \(Set(counted).count) different ones, of \(ids.count)")
        }
    }

    func check() async throws -> [String] {
        let log = try await participant.open()
        var ids: [StreamID: String] = [:]
        let newest = await log.health().newestEvent
        guard newest > 0 else { throw Failure("there is not one event") }
        for try await batch in log.events() {
            for event in batch.events { ids[event.streamID] = event.event.key ?? "-" }
            if batch.through >= newest { break }
        }
        for consumer in participant.consumers {
            let parked = try await log.parkedEvents(of: consumer)
            // What was under way each time that a process was killed may be suspected; nothing else fails here.
            guard parked.isEmpty else { throw Failure("\(consumer) has parked \(parked.map(\.streamID))") }
        }
        await log.shutDown()
        if participant.server == nil { try await checkCounted(ids) }
        let handled = try HandledEvents(
            files: Self.processors.map(participant.notes), continued: continued)
        try handled.check(events: ids)
        return [
            "\(ids.count) events, \(handled.count) handled, \(kills) kills, \(stops) stops"
        ]
    }
}

/// What the handlers have written down.
struct HandledEvents {
    private struct Call {
        let id: Int64
        let claim: Int
        let process: String
        let begin: Int64
        var end: Int64?
    }

    private var calls: [String: [Call]] = [:]
    private let continued: [String: [Int64]]
    private(set) var count = 0

    init(files: [String], continued: [String: [Int64]]) throws {
        self.continued = continued
        for file in files {
            for line in try AppendedFile.lines(of: file) where line.count == 6 {
                guard let time = Int64(line[1]), let id = Int64(line[2]), let claim = Int(line[4]) else {
                    throw Failure("a line of \(file) is not one: \(line)")
                }
                let (key, process) = (String(line[3]), String(line[5]))
                if line[0] == "begin" {
                    calls[key, default: []].append(Call(id: id, claim: claim, process: process, begin: time))
                } else if let index = calls[key]?.lastIndex(where: {
                    $0.id == id && $0.claim == claim && $0.process == process && $0.end == nil
                }) {
                    calls[key]?[index].end = time
                    count += 1
                }
            }
        }
    }

    /// - Throws: ``Failure``.
    func check(events: [StreamID: String]) throws {
        var handled: Set<Int64> = []
        for (key, calls) in calls {
            let calls = calls.sorted { $0.begin < $1.begin }
            for call in calls where call.end != nil { handled.insert(call.id) }
            guard key != "-" else { continue }
            try check(calls, of: key)
            try checkOrder(calls, of: key, events.filter { $0.value == key }.map(\.key.rawValue).sorted())
        }
        let missing = events.keys.filter { !handled.contains($0.rawValue) }.sorted()
        guard missing.isEmpty else {
            throw Failure("\(missing.count) events were not handled, the first is \(missing[0])")
        }
    }

    /// In order, whoever handles it: an event is begun after every earlier one of its key was handled.
    private func checkOrder(_ calls: [Call], of key: String, _ ids: [Int64]) throws {
        var firstEnds: [Int64: Int64] = [:]
        for call in calls {
            if let end = call.end { firstEnds[call.id] = min(firstEnds[call.id] ?? .max, end) }
        }
        // Of each event: when all earlier ones were handled.
        var mayBegin: [Int64: Int64] = [:]
        var latest = Int64.min
        for id in ids {
            mayBegin[id] = latest
            latest = max(latest, firstEnds[id] ?? .max)
        }
        for call in calls where call.begin < mayBegin[call.id] ?? .max {
            throw Failure("key \(key): \(call.id) (\(call.process)) was begun before an earlier event was handled")
        }
    }

    private func check(_ calls: [Call], of key: String) throws {
        for (index, call) in calls.enumerated() {
            let earlier = calls[..<index]
            if let last = earlier.last(where: { $0.claim == call.claim && $0.process == call.process }),
                last.id > call.id
            {
                throw Failure("key \(key): \(call.id) was begun after \(last.id), under one claim")
            }
            for other in earlier {
                // Who was killed has no end, and was over before another one had the partition.
                guard let end = other.end, end > call.begin else { continue }
                // One that was stopped wakes up, and is cancelled: it has the lower claim.
                if other.claim < call.claim, wasStopped(other.process, from: other.begin, to: end) { continue }
                if call.claim < other.claim, wasStopped(call.process, from: call.begin, to: .max) { continue }
                throw Failure("key \(key): \(other.id) (\(other.process)) and \(call.id) (\(call.process)) overlap")
            }
        }
    }

    /// Whether the process was continued about then.
    private func wasStopped(_ process: String, from begin: Int64, to end: Int64) -> Bool {
        let leeway: Int64 = 3_000_000_000
        return continued[process]?.contains { $0 > begin - leeway && $0 - leeway < end } ?? false
    }
}

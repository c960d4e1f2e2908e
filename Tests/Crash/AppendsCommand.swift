import ArgumentParser
import Foundation
import TestSupport
import Tidemark
import TidemarkTesting

/// The run for conditional appends: four processes with eight callers each append to 100 keys, each append decided on what was
/// loaded, while they are killed at random.
struct AppendsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "appends",
        abstract: "Appends that are decided on what was loaded, by many at once, and killed at random.")

    static let processes = (1...4).map { "a\($0)" }

    @Option(help: "How long it goes on.") var seconds = 60.0
    @Option(help: "How many keys there are.") var keys = 100
    @Option(help: "Of the faults and the load; a random one without it.") var seed: UInt64?
    @Flag(help: "On a PostgreSQL server that is started for it, and not in a file.") var postgres = false
    @Option(help: "Where everything is kept; a new folder without it.") var folder: String?

    func run() async throws {
        let seed = seed ?? .random(in: 0 ... .max)
        let folder = folder ?? FileManager.default.temporaryDirectory.path + "/tidemark-appends-\(seed)"
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        print("seed \(seed), \(seconds) s, \(keys) keys, in \(folder)")
        let server = postgres ? try await PostgresServerProcess() : nil
        let place = server.map { ["--server", $0.address()] } ?? []
        let participant = try Participant.parse(["--folder", folder] + place)
        let children = Children(folder: folder)
        do {
            try await breakThings(children, place, seed: seed)
            for line in try await check(participant) { print(line) }
            print("no event has two successors")
            if self.folder == nil { try? FileManager.default.removeItem(atPath: folder) }
        } catch {
            children.killAll()
            print("FAILED: \(error)")
            print("what was written down is in \(folder)")
            throw ExitCode.failure
        }
        try await server?.stop()
    }

    private func breakThings(_ children: Children, _ place: [String], seed: UInt64) async throws {
        var random = SplitMix64(seed: seed)
        var starts: [String: Int] = [:]
        func start(_ name: String) async throws {
            starts[name, default: 0] += 1
            _ = try await children.start(
                name,
                [
                    "appender", "--instance", name, "--number", "\(starts[name, default: 0])", "--keys", "\(keys)",
                    "--seed", "\(random.next())",
                ] + place)
        }
        for name in Self.processes { try await start(name) }
        let end = ContinuousClock.now + .seconds(seconds)
        while ContinuousClock.now < end {
            // Spreads kills over time; what must hold is looked at when all is over.
            try await Task.sleep(for: .seconds(Double.random(in: 0...4, using: &random)))
            try children.check()
            guard ContinuousClock.now < end, let name = Self.processes.randomElement(using: &random) else { break }
            try await children.kill(name)
            try await start(name)
        }
        for name in Self.processes { try await children.end(name) }
    }

    /// Each event says which one was the newest of its key when it was decided: so each key's events are one chain.
    private func check(_ participant: Participant) async throws -> [String] {
        let log = try await participant.open()
        var events = 0
        for number in 0..<keys {
            var newest: StreamID = 0
            while true {
                let page = try await log.events(ofKey: "k\(number)", after: newest)
                guard !page.isEmpty else { break }
                for event in page {
                    let decided = String(decoding: event.event.payload, as: UTF8.self)
                    guard decided == "\(newest)" else {
                        throw Failure(
                            "event \(event.streamID) of key k\(number) was decided on \(decided), and comes after \(newest)"
                        )
                    }
                    newest = event.streamID
                    events += 1
                }
            }
        }
        let all = try await CrashRun.allEvents(log)
        guard all.count == events else { throw Failure("\(events) events were found by key, of \(all.count)") }
        let acknowledged = try CrashRun.checkAcknowledgements(participant, writers: Self.processes, all: all)
        let conflicts = try Self.processes.reduce(0) { sum, name in
            try sum + AppendedFile.lines(of: participant.conflicts(of: name)).count
        }
        await log.shutDown()
        guard events > 0, conflicts > 0 else {
            throw Failure("\(events) events, \(conflicts) conflicts: that shows nothing")
        }
        return ["\(events) events, \(acknowledged) of them acknowledged, \(conflicts) conflicts"]
    }
}

extension Participant {
    func conflicts(of instance: String) -> String { "\(folder)/\(instance).conflicts" }
}

/// A process with callers that load a key, decide, append, and load again on a conflict.
struct AppenderCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "appender", shouldDisplay: false)

    static let callers = 8

    @OptionGroup var participant: Participant
    @Option var instance: String
    @Option(help: "Which process of this name it is: event ids are those of one process.") var number: Int
    @Option var keys: Int
    @Option var seed: UInt64

    func run() async throws {
        let log = try await participant.open(
            as: InstanceName(validating: instance), configuration: EventLogConfiguration(hasKeyIndex: true))
        let acknowledged = try AppendedFile(path: participant.acknowledgements(of: instance))
        let conflicts = try AppendedFile(path: participant.conflicts(of: instance))
        try acknowledged.beginAfterCrash()
        try conflicts.beginAfterCrash()
        let service = Task { try await log.run() }
        Starter.say("ready")
        try await withThrowingTaskGroup { group in
            for caller in 0..<Self.callers {
                group.addTask { [self] in
                    var random = SplitMix64(seed: seed &+ UInt64(caller))
                    var known: [Int: StreamID] = [:]
                    var count = 0
                    while !Task.isCancelled {
                        count += 1
                        try await append(
                            "\(instance)-\(number)-\(caller)-\(count)", to: Int.random(in: 0..<keys, using: &random),
                            &known,
                            log, acknowledged, conflicts)
                    }
                }
            }
            await Starter.ended()
            group.cancelAll()
            do { try await group.waitForAll() } catch is CancellationError {}
        }
        service.cancel()
        try await service.value
    }

    private func append(
        _ id: String, to key: Int, _ known: inout [Int: StreamID], _ log: EventLog, _ acknowledged: AppendedFile,
        _ conflicts: AppendedFile
    ) async throws {
        while true {
            while let last = try await log.events(ofKey: "k\(key)", after: known[key] ?? 0).last?.streamID {
                known[key] = last
            }
            let decided = known[key] ?? 0
            let event = Event(id: id, type: "appended", key: "k\(key)", payload: Array("\(decided)".utf8))
            do {
                let ids = try await log.persist([event], ifNewest: known[key], ofKey: "k\(key)")
                try acknowledged.append(ids.map { "\($0) \(id)" })
                return
            } catch TidemarkError.conflict {
                try conflicts.append([id])
            } catch let error as TidemarkError where error.kind == .tryAgain {
                // What became of it is not known: then its id tells, and it is another one that decides anew.
                if try await log.event(withID: id) != nil { return }
            }
        }
    }
}

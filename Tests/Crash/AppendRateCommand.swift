import ArgumentParser
import Foundation
import Synchronization
import TestSupport
import Tidemark
import TidemarkPostgreSQL
import TidemarkSQLite
import TidemarkTesting

/// How many conditional appends there are in a second where nobody conflicts, beside plain persisting: 4 processes with 8 callers
/// each, 100 keys.
struct AppendRateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "append-rate", abstract: "Measures conditional appends without conflicts beside plain persisting.")

    @Option(help: "How long each round of each way takes, in seconds.") var seconds = 2.0
    @Option(help: "How many rounds there are.") var rounds = 5
    @Flag(help: "On a PostgreSQL server that is started for it, and not in a file.") var postgres = false
    @Option(help: "What part of the rate of plain persisting in the same stream there has to be.") var bar = 0.7

    func run() async throws {
        let folder = try TemporaryFolder()
        let server = postgres ? try await PostgresServerProcess() : nil
        let place = server.map { ["--server", $0.address()] } ?? []
        let children = Children(folder: folder.path)
        let names = (1...4).map { "a\($0)" }
        do {
            for name in names { _ = try await children.start(name, ["append-worker", "--instance", name] + place) }
            var rates: [AppendWorkerCommand.Way: [Double]] = [:]
            for round in 0..<rounds {
                for offset in AppendWorkerCommand.Way.allCases.indices {
                    let ways = AppendWorkerCommand.Way.allCases
                    let way = ways[(round + offset) % ways.count]
                    rates[way, default: []].append(try await rate(of: way, children, names))
                }
            }
            for name in names { try await children.end(name) }
            let (plain, indexed) = (rates[.plain] ?? [], rates[.indexed] ?? [])
            var missed: [String] = []
            for way in AppendWorkerCommand.Way.allCases {
                let own = rates[way] ?? []
                // What the condition costs is told from what the index costs, which its stream has for all its events.
                let ratio = Self.median(zip(own, indexed).map { $0 / $1 })
                let ratioOfPlain = Self.median(zip(own, plain).map { $0 / $1 })
                print(
                    """
                    \(way.explanation): \(Int(Self.median(own))) a second, \(Figures.text(ratio)) of plain persisting in the same \
                    stream, \(Figures.text(ratioOfPlain)) of that in one without an index
                    """)
                if way == .conditional, ratio < bar { missed.append("conditional appends are below \(bar)") }
            }
            if let problem = missed.first { throw Failure(problem) }
        } catch {
            children.killAll()
            throw error
        }
        try await server?.stop()
    }

    /// All of them together.
    private func rate(of way: AppendWorkerCommand.Way, _ children: Children, _ names: [String]) async throws -> Double {
        let before = names.map { children[$0]?.lines.count ?? 0 }
        for name in names { children[name]?.write("\(way.rawValue) \(seconds)") }
        var total = 0
        for (name, count) in zip(names, before) {
            try await eventually("\(name) is done", within: .seconds(seconds + 60)) {
                try children.check()
                return children[name]?.lines.count ?? 0 > count
            }
            total += children[name]?.lines.last.flatMap { Int($0) } ?? 0
        }
        return Double(total) / seconds
    }

    private static func median(_ values: [Double]) -> Double {
        let sorted = values.sorted()
        return sorted.isEmpty ? 0 : sorted[sorted.count / 2]
    }
}

/// A process of this measurement: for each line that it is given, it does so for a while, and says how many events that were.
struct AppendWorkerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "append-worker", shouldDisplay: false)

    enum Way: String, CaseIterable {
        /// In a stream without an index of keys.
        case plain
        /// In one that has one.
        case indexed
        /// The newest of each key is the caller's own.
        case conditional
        /// The same, loaded anew each time.
        case loaded

        var explanation: String {
            switch self {
            case .plain: "plain persisting"
            case .indexed: "plain persisting in a stream with an index of keys"
            case .conditional: "conditional appends, the newest known"
            case .loaded: "conditional appends, the newest loaded each time"
            }
        }
    }

    @OptionGroup var participant: Participant
    @Option var instance: String

    func run() async throws {
        let name = try InstanceName(validating: instance)
        let store: any EventStore =
            if let server = participant.server {
                try await PostgreSQLEventStore.open(PostgresConfiguration(server))
            } else {
                try await SQLiteEventStore.open(path: participant.database)
            }
        let plain = try await EventLog.open(store, stream: "plain", instance: name)
        let keyed = try await EventLog.open(
            store, stream: "keyed", instance: name, configuration: EventLogConfiguration(hasKeyIndex: true))
        let services = [plain, keyed].map { log in Task { try await log.run() } }
        let appends = Appends(plain: plain, keyed: keyed, instance: instance)
        Starter.say("ready")
        for await line in Starter.lines() {
            let words = line.split(separator: " ")
            guard words.count == 2, let way = Way(rawValue: String(words[0])), let seconds = Double(words[1]) else {
                throw Failure("it was told \"\(line)\"")
            }
            Starter.say("\(try await appends.run(way, seconds: seconds))")
        }
        for service in services {
            service.cancel()
            try await service.value
        }
    }
}

/// What the callers of one process do.
private final class Appends: Sendable {
    private static let callers = 8

    private let plain: EventLog
    private let keyed: EventLog
    private let instance: String
    /// The newest event of each key, to which nobody but its caller appends.
    private let newest = Mutex<[String: StreamID]>([:])
    private let events = Atomic(0)

    init(plain: EventLog, keyed: EventLog, instance: String) {
        self.plain = plain
        self.keyed = keyed
        self.instance = instance
    }

    /// How many events that were.
    func run(_ way: AppendWorkerCommand.Way, seconds: Double) async throws -> Int {
        let before = events.load(ordering: .relaxed)
        let end = ContinuousClock.now + .seconds(seconds)
        try await withThrowingTaskGroup { group in
            for caller in 0..<Self.callers {
                group.addTask {
                    var turn = caller
                    while ContinuousClock.now < end {
                        // 100 keys for 32 callers: 25 for each process, three or so for each caller.
                        try await self.append(to: "\(self.instance)-\(turn % 25)", way)
                        turn += turn + Self.callers < 25 ? Self.callers : caller - turn
                    }
                }
            }
            try await group.waitForAll()
        }
        return events.load(ordering: .relaxed) - before
    }

    private func append(to key: String, _ way: AppendWorkerCommand.Way) async throws {
        let number = events.add(1, ordering: .relaxed).newValue
        let event = Event(
            id: "\(instance)-\(number)", type: "appended", key: key, payload: Array(repeating: 0x2A, count: 100))
        switch way {
        case .plain: try await plain.persist(event)
        case .indexed:
            let id = try await keyed.persist(event)
            newest.withLock { $0[key] = id }
        case .conditional, .loaded:
            var known = newest.withLock { $0[key] }
            if way == .loaded {
                while let last = try await keyed.events(ofKey: key, after: known ?? 0).last?.streamID { known = last }
            }
            let ids = try await keyed.persist([event], ifNewest: known, ofKey: key)
            newest.withLock { $0[key] = ids[0] }
        }
    }
}

import ArgumentParser
import Foundation
import Tidemark

/// A writer's process.
struct WorkerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "worker", shouldDisplay: false)

    @OptionGroup var participant: Participant
    @Option var instance: String

    func run() async throws {
        let workload = try Workload(file: participant.data)
        let log = try await participant.open(as: InstanceName(validating: instance))
        let service = Task {
            do { try await log.run() } catch { Participant.fail(error) }
        }
        Participant.say(["ready"])
        var saturated = 0
        for await command in Participant.commands {
            switch command[0] {
            case "members":
                try await log.reconcile()
                Participant.say(["done"])
            case "paced":
                let numbers = command.dropFirst().compactMap { Int($0) }
                Participant.say(
                    try await Self.paced(log, workload, from: numbers[0], count: numbers[1], rate: numbers[2]))
                Participant.say(["done"])
            case "flood":
                let numbers = command.dropFirst().compactMap { Int($0) }
                let start = try await Self.flood(
                    log, workload, count: numbers[0], shard: numbers[1], of: numbers[2], callers: numbers[3])
                Participant.say(["\(start)", "done"])
            case "saturate":
                guard let seconds = Double(command[1]), let batch = Int(command[2]) else {
                    throw Failure("saturate needs seconds and a batch")
                }
                // One transaction after the other, without a pause.
                let saturation = try await Saturation.of(seconds: seconds) { _ in
                    try await log.persist(PlainEvents.make(saturated..<saturated + batch, prefix: instance))
                    saturated += batch
                }
                Participant.say([saturation.line, "done"])
            case "hang":
                let ids = try await Self.hang(log, scopes: command.dropFirst().first.flatMap { Int($0) } ?? 3)
                Participant.say(ids.map { "\($0)" } + ["done"])
            case "announced":
                Participant.say(["\(log.announced.positions)", "done"])
            case "messages":
                Participant.say(["\(log.announced.positions + log.announced.rows)", "done"])
            default:
                throw Failure("a worker does not know \(command[0])")
            }
        }
        service.cancel()
        await service.value
    }

    /// Events at a fixed rate, each under an ID that was allocated before; every tenth ID is abandoned by a scope that
    /// throws. Answers with the id of each event and when its commit had returned.
    private static func paced(
        _ log: EventLog, _ workload: Workload, from first: Int, count: Int, rate: Int
    ) async throws -> [String] {
        struct Abandoned: Error {}
        var commits: [String] = []
        let start = MonotonicTime.now
        for number in 0..<count {
            // By the schedule and not by the last event: a late one does not slow the others down.
            try await MonotonicTime.sleep(until: start + Int64(number) * 1_000_000_000 / Int64(rate))
            if number % 9 == 8 {
                do { try await log.withNextID { _ in throw Abandoned() } } catch is Abandoned {}
            }
            let event = workload[first + number]
            let committed = try await log.withNextID { id in
                try await log.persist(event, as: id)
                return MonotonicTime.now
            }
            commits.append("\(event.id) \(committed)")
        }
        return commits
    }

    /// This writer's part of the events as fast as they go, from many callers at once. Answers with when it began.
    private static func flood(
        _ log: EventLog, _ workload: Workload, count: Int, shard: Int, of shards: Int, callers: Int
    ) async throws -> Int64 {
        let mine = (0..<count).filter { workload.shard(of: $0, among: shards) == shard }
        let start = MonotonicTime.now
        try await withThrowingTaskGroup(of: Void.self) { group in
            for caller in 0..<callers {
                group.addTask {
                    for index in stride(from: caller, to: mine.count, by: callers) {
                        try await log.persist(workload[mine[index]])
                    }
                }
            }
            try await group.waitForAll()
        }
        return start
    }

    /// Scopes that hold their IDs, which are returned, for as long as the process lives.
    private static func hang(_ log: EventLog, scopes: Int) async throws -> [StreamID] {
        let (held, continuation) = AsyncStream<StreamID>.makeStream()
        for _ in 0..<scopes {
            Task {
                try await log.withNextID(timeLimit: .seconds(600)) { id in
                    continuation.yield(id)
                    // For longer than the run: the scope never ends by itself.
                    try await Task.sleep(for: .seconds(600))
                }
            }
        }
        return await held.prefix(scopes).reduce(into: []) { $0.append($1) }
    }
}

import ArgumentParser
import Foundation
import Synchronization
import TestSupport
import Tidemark

/// A writer under load: groups of the persister, scopes that commit late, scopes that throw. What was acknowledged it
/// writes down at once.
struct WriterCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "writer", shouldDisplay: false)

    @OptionGroup var participant: Participant
    @Option var instance: String
    @Option(help: "Which process of this name it is: event ids are those of one process.") var number: Int
    @Option var seed: UInt64
    @Option(help: "How many keys the events have; 0: none has one.") var keys = 0

    private static let callers = 4

    func run() async throws {
        let log = try await participant.open(as: InstanceName(validating: instance))
        let acknowledged = try AppendedFile(path: participant.acknowledgements(of: instance))
        try acknowledged.beginAfterCrash()
        let service = Task { try await log.run() }
        Starter.say("ready")
        let ending = Ending()
        let callers = Task {
            try await withThrowingTaskGroup { group in
                for caller in 0..<Self.callers {
                    let load = Load(
                        log: log, acknowledged: acknowledged, hasServer: participant.server != nil,
                        prefix: "\(instance)-\(number)-\(caller)", keys: keys,
                        random: SplitMix64(seed: seed &+ UInt64(caller)))
                    group.addTask {
                        var load = load
                        while !ending.isAsked.withLock({ $0 }) { try await load.step() }
                    }
                }
                try await group.waitForAll()
            }
        }
        await Starter.ended()
        ending.isAsked.withLock { $0 = true }
        try await callers.value
        service.cancel()
        try await service.value
    }
}

/// Whether callers are to come to an end.
private final class Ending: Sendable {
    let isAsked = Mutex(false)
}

extension Participant {
    func acknowledgements(of instance: String) -> String { "\(folder)/\(instance).acknowledged" }
}

/// What one caller of a writer does, one thing after the other.
private struct Load {
    /// A scope whose caller changed its mind.
    private struct Whim: Error {}

    let log: EventLog
    let acknowledged: AppendedFile
    let hasServer: Bool
    let prefix: String
    let keys: Int
    var random: SplitMix64
    private var count = 0

    init(log: EventLog, acknowledged: AppendedFile, hasServer: Bool, prefix: String, keys: Int, random: SplitMix64) {
        self.hasServer = hasServer
        self.keys = keys
        self.log = log
        self.acknowledged = acknowledged
        self.prefix = prefix
        self.random = random
    }

    mutating func step() async throws {
        switch Int.random(in: 0..<10, using: &random) {
        case 0..<5:
            let events = (0..<Int.random(in: 1...3, using: &random)).map { _ in nextEvent() }
            try await retrying { try tell(events, await log.persist(events)) }
        case 5..<9:
            let pause = Duration.milliseconds(Int.random(in: 0...30, using: &random))
            try await scope(nextEvent(), pause: pause)
        default:
            try await whim(persists: Bool.random(using: &random))
        }
        try await Task.sleep(for: .milliseconds(Int.random(in: 0...10, using: &random)))
    }

    private func scope(_ event: Event, pause: Duration) async throws {
        try await retrying {
            try await log.withNextID { id in
                try await Task.sleep(for: pause)
                try tell([event], [await log.persist(event, as: id)])
            }
        }
    }

    private mutating func whim(persists: Bool) async throws {
        let event = nextEvent()
        try await retrying {
            do {
                try await log.withNextID { id in
                    if persists { try tell([event], [await log.persist(event, as: id)]) }
                    throw Whim()
                }
            } catch is Whim {}
        }
    }

    private mutating func nextEvent() -> Event {
        count += 1
        let key = keys > 0 ? "k\(Int.random(in: 0..<keys, using: &random))" : nil
        return Event(id: "\(prefix)-\(count)", type: "noted", key: key, payload: Array(repeating: 0x2A, count: 100))
    }

    private func tell(_ events: [Event], _ ids: [StreamID]) throws {
        try acknowledged.append(zip(events, ids).map { "\($1) \($0.id)" })
    }

    /// Does it again where the error says that nothing was written and that it may go better: the process was stopped,
    /// or another one was with the database's write lock.
    private func retrying(_ body: () async throws -> Void) async throws {
        while true {
            do {
                return try await body()
            } catch TidemarkError.closed, TidemarkError.reservationExpired, TidemarkError.sequenceTimedOut,
                TidemarkError.writeLockHeld
            {
                continue
            } catch let error as TidemarkError where hasServer && error.kind == .tryAgain {
                // The server is gone for a while, or was: the same ids are handed in again.
                try await Task.sleep(for: .milliseconds(50))
            }
        }
    }
}

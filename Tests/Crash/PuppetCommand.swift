import ArgumentParser
import Foundation
import Synchronization
import Tidemark
import TidemarkPostgreSQL
import TidemarkReplication
import TidemarkSQLite

/// A process that does what it is told, line by line, and says what became of it. Tests stop and kill it.
///
/// - `persist ID …`: one group; `acknowledged STREAM_ID ID` for each event.
/// - `scope ID`: allocates, says `held STREAM_ID`, and persists at the next `go`.
/// - `reserve`: allocates, says `reserved STREAM_ID STATEMENT` with what another client commits it with, and ends the scope at
///   the next `go`, saying `over STREAM_ID`.
/// - `flood`: persists without a pause until it is killed.
/// - `stamps MILLISECONDS`: an event in each such interval, with the time at which it was handed in.
///
/// An error that may go better is said as `refused ID: …`, by the name of its kind.
struct PuppetCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "puppet", shouldDisplay: false)

    @OptionGroup var participant: Participant
    @Option(help: "Without one it only reads.") var instance: String?
    @Option var heartbeatMilliseconds = 1000
    @Option var silenceMilliseconds = 5000
    @Option var retirementMilliseconds = 600_000
    @Option var busyMilliseconds = 30_000
    @Flag(help: "Leaves it to others to close whoever is silent.") var closesNobody = false

    func run() async throws {
        let transport =
            participant.server == nil ? try UnixSocketTransport(besideDatabase: participant.database) : nil
        var sqlite = SQLiteConfiguration()
        sqlite.busyTimeout = .milliseconds(busyMilliseconds)
        var configuration = EventLogConfiguration()
        configuration.heartbeatInterval = .milliseconds(heartbeatMilliseconds)
        configuration.silenceTimeout = .milliseconds(silenceMilliseconds)
        configuration.retirementTimeout = .milliseconds(retirementMilliseconds)
        configuration.closesSilentWriters = !closesNobody
        let log = try await participant.open(
            as: instance.map { try InstanceName(validating: $0) }, transport: transport, sqlite: sqlite,
            configuration: configuration)
        let link = try await transport?.connect(as: "link") { event in
            switch event {
            case .connected: Starter.say("up \(MonotonicTime.now)")
            case .disconnected: Starter.say("down \(MonotonicTime.now)")
            case .command: break
            }
        }
        let service = Task { try await log.run() }
        Starter.say("ready")
        let go = Gates()
        for await line in Starter.lines() {
            let words = line.split(separator: " ").map(String.init)
            if words.first == "go" { go.open() } else { Task { await obey(words, log, go) } }
        }
        await link?.close()
        service.cancel()
        try await service.value
    }

    private func obey(_ words: [String], _ log: EventLog, _ go: Gates) async {
        let arguments = Array(words.dropFirst())
        do {
            switch words.first {
            case "persist":
                let ids = try await log.persist(arguments.map { Event(id: $0, type: "told") })
                for (event, id) in zip(arguments, ids) { Starter.say("acknowledged \(id) \(event)") }
            case "scope":
                let id = try await log.withNextID { id in
                    let opened = go.next()
                    Starter.say("held \(id)")
                    await opened()
                    return try await log.persist(Event(id: arguments[0], type: "told"), as: id)
                }
                Starter.say("acknowledged \(id) \(arguments[0])")
            case "reserve":
                let id = try await log.withNextID { id in
                    let opened = go.next()
                    Starter.say("reserved \(id) \(try log.reservation(for: id).statement)")
                    await opened()
                    return id
                }
                Starter.say("over \(id)")
            case "flood":
                var number = 0
                while true {
                    number += 1
                    try await log.persist(Event(id: "\(log.instance)-\(number)", type: "flood"))
                }
            case "stamps":
                try await stamps(log, every: .milliseconds(Int(arguments[0]) ?? 10))
            default: throw Failure("a puppet does not know \(words)")
            }
        } catch TidemarkError.closed(_, _, let id) {
            Starter.say("refused \(arguments.joined(separator: " ")): closed \(id)")
        } catch TidemarkError.writeLockHeld(_, let holder, _) {
            Starter.say("refused \(arguments.joined(separator: " ")): held by \(holder ?? "nobody")")
        } catch {
            Starter.say("failed \(words.joined(separator: " ")): \(error)")
        }
    }

    private func stamps(_ log: EventLog, every interval: Duration) async throws {
        var number = 0
        while true {
            number += 1
            try await log.persist(
                Event(id: "stamp-\(number)", type: "stamp", payload: Array(String(MonotonicTime.now).utf8)))
            try await Task.sleep(for: interval)
        }
    }
}

/// Each wait is for the next opening.
private final class Gates: Sendable {
    private let waiting = Mutex<[AsyncStream<Void>.Continuation]>([])

    /// What waits; it counts from the time of this call.
    func next() -> @Sendable () async -> Void {
        let (stream, continuation) = AsyncStream<Void>.makeStream()
        waiting.withLock { $0.append(continuation) }
        return { for await _ in stream {} }
    }

    func open() {
        let opened = waiting.withLock { waiting in
            defer { waiting = [] }
            return waiting
        }
        for continuation in opened { continuation.finish() }
    }
}

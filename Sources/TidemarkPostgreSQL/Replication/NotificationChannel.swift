import Logging
import Synchronization
import Tidemark

/// One channel of LISTEN and NOTIFY over a process's direct connection, and the logs of this process that take part in it.
///
/// Everything is told and sent on the connection's thread.
final class NotificationChannel: Sendable {
    /// One log's end of it.
    private final class Participant: Sendable {
        let number: Int
        private let receive: Mutex<(@Sendable (ReplicationEvent) -> Void)?>

        init(number: Int, _ receive: @escaping @Sendable (ReplicationEvent) -> Void) {
            self.number = number
            self.receive = Mutex(receive)
        }

        func tell(_ event: ReplicationEvent) { receive.withLock { $0?(event) } }

        /// After this has returned it is told nothing more.
        func end() { receive.withLock { $0 = nil } }
    }

    private struct State {
        var participants: [Participant] = []
        var lastNumber = 0
        /// Whether the direct connection tells this channel what becomes of it.
        var isRegistered = false
        var isConnected = false
        /// What the server did not take, to be told of before what is sent next.
        var untold = DroppedRows()
        var skipped = SkippedLines()
        var counts = NotificationCounts()
        var failure: PostgresError?
        var pace = NotificationPace()
        /// Whether what was sent waits for the next NOTIFY's time.
        var isDelayed = false
    }

    /// How many bytes may wait for the connection, before what is sent is dropped.
    private static let unsentLimit = 1 << 20

    let name: String
    private let direct: DirectConnection
    private let time: TimeSource
    private let logger: Logger
    private let sendBuffer = SendBuffer(limit: unsentLimit)
    private let state = Mutex(State())

    /// A channel's name may have 63 bytes, and a stream's 128: so it is a hash (FNV-1a, 64 bits). Where two streams have the
    /// same one, they hear each other's lines, which name the stream, and drop them.
    static func name(_ namespace: PostgresNamespace, _ stream: StreamName) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in "\(namespace)/\(stream)".utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        let digits = String(hash, radix: 16)
        return "tidemark_" + String(repeating: "0", count: 16 - digits.count) + digits
    }

    init(_ name: String, over direct: DirectConnection, time: TimeSource = .continuous, logger: Logger) {
        self.name = name
        self.direct = direct
        self.time = time
        self.logger = logger
    }

    var counts: NotificationCounts { state.withLock { $0.counts } }
    var failure: PostgresError? { state.withLock { $0.failure } }

    // MARK: Taking part

    func connect(_ receive: @escaping @Sendable (ReplicationEvent) -> Void) -> NotificationConnection {
        let (participant, isFirst, isConnected) = state.withLock { state in
            state.lastNumber += 1
            let participant = Participant(number: state.lastNumber, receive)
            state.participants.append(participant)
            defer { state.isRegistered = true }
            return (participant, !state.isRegistered, state.isConnected)
        }
        if isFirst {
            // For as long as the store is open: to listen where nobody takes part costs little.
            _ = direct.add(
                DirectConnection.Listener(
                    changed: { [weak self] in self?.changed($0) }, heard: { [weak self] in self?.heard($0) }),
                to: name)
        } else if isConnected {
            direct.submit { [weak self] _ in
                // What was lost meanwhile is told of when it is back.
                guard let self, self.state.withLock({ $0.isConnected }) else { return }
                self.join(participant)
            } fail: { error in
                participant.tell(.disconnected(reason: "\(error)"))
            }
        }
        return NotificationConnection(channel: self, number: participant.number)
    }

    func close(_ number: Int) {
        let (participant, isDelayed) = state.withLock { state in
            let index = state.participants.firstIndex { $0.number == number }
            return (index.map { state.participants.remove(at: $0) }, state.isDelayed)
        }
        participant?.end()
        // What it said last is not kept back until its process has ended.
        if isDelayed { notifyNow() }
    }

    private func changed(_ change: DirectConnection.Change) {
        switch change {
        case .connected:
            let participants = state.withLock { state in
                state.isConnected = true
                state.failure = nil
                return state.participants
            }
            for participant in participants { join(participant) }
        case .disconnected(let error):
            let unsent = sendBuffer.takeAll()
            let participants = state.withLock { state in
                state.isConnected = false
                state.failure = error
                state.counts.failures += 1
                state.counts.droppedCommands += unsent.reduce(0) { $0 + $1.commands.count }
                // With a new connection everyone tells where he is.
                state.untold = DroppedRows()
                return state.participants
            }
            for participant in participants { participant.tell(.disconnected(reason: error.description)) }
        }
    }

    private func join(_ participant: Participant) {
        send([.replicate], from: participant.number)
        participant.tell(.connected)
    }

    // MARK: Hearing

    private func heard(_ notification: PostgresSession.Notification) {
        // What this process said itself.
        if notification.processID == direct.processID { return }
        let participants = state.withLock { $0.participants }
        if participants.isEmpty { return }
        for line in notification.payload.split(separator: UInt8(ascii: "\n")) {
            do throws(InvalidReplicationCommand) {
                let command = try ReplicationCommand.parse(line.span)
                guard command.kind.mayBeSent(by: .publisher) else {
                    skip { $0.sentence(forOutOfPlace: command.kind) }
                    continue
                }
                for participant in participants { participant.tell(.command(command)) }
            } catch {
                if error != .blank { skip { $0.sentence(for: error) } }
            }
        }
    }

    private func skip(_ sentence: (inout SkippedLines) -> String?) {
        let sentence = state.withLock { state in
            state.counts.skippedLines += 1
            return sentence(&state.skipped)
        }
        guard let sentence else { return }
        logger.warning(
            "a line that was notified is skipped",
            metadata: ["channel": "\(name)", "reason": "\(sentence.shown(atMost: 300))"])
    }

    // MARK: Saying

    func send(_ commands: [ReplicationCommand], from number: Int) {
        guard state.withLock({ $0.isConnected }) else { return drop(commands.count) }
        switch sendBuffer.append(commands, from: number) {
        case .wake: notifySoon()
        case .accepted: break
        case .full(let wakes):
            drop(commands.count)
            if wakes { notifySoon() }
        }
    }

    private func drop(_ count: Int) { state.withLock { $0.counts.droppedCommands += count } }

    /// One call takes all that is there when it runs; what comes while it waits for the server, or for its time, is the next one's.
    private func notifySoon() {
        let now = time.now
        let due = state.withLock { state in
            let due = state.pace.next(at: now)
            state.isDelayed = due > now
            return due
        }
        if due <= now { return notifyNow() }
        Task { [weak self, time] in
            // Fails only for a task that is cancelled, and nobody cancels this one.
            try? await time.sleep(until: due)
            guard let self, state.withLock({ $0.isDelayed }) else { return }
            notifyNow()
        }
    }

    private func notifyNow() {
        state.withLock { $0.isDelayed = false }
        direct.submit { [weak self] in
            self?.notify($0)
        } fail: { [weak self] error in
            guard let self else { return }
            failed(error, sendBuffer.takeAll().map(\.commands))
        }
    }

    private func notify(_ session: PostgresSession) {
        let entries = sendBuffer.takeAll()
        let (participants, positions) = state.withLock { ($0.participants, $0.untold.takePositions()) }
        let calls = (positions.isEmpty ? [] : [positions]) + entries.map(\.commands)
        let (payloads, leftOut) = NotificationEncoding.payloads(of: calls)
        if leftOut > 0 { state.withLock { $0.counts.leftOutCommands += leftOut } }
        if !payloads.isEmpty {
            do {
                // One transaction.
                try session.pipeline(
                    payloads.map { PostgresStatement("SELECT pg_notify($1, $2)", [.text(name), .text($0)]) })
                state.withLock { $0.failure = nil }
            } catch {
                failed(error, calls)
            }
        }
        // The server has them from this process, which drops them.
        if participants.count < 2 { return }
        for entry in entries {
            for participant in participants where participant.number != entry.sender {
                for command in entry.commands { participant.tell(.command(command)) }
            }
        }
    }

    /// These were not said. Where there was no new connection since, the others are told so before what follows.
    private func failed(_ error: any Error, _ calls: [[ReplicationCommand]]) {
        let failure = error as? PostgresError
        let isNew = state.withLock { state in
            state.counts.droppedCommands += calls.reduce(0) { $0 + $1.count }
            state.counts.failures += 1
            if state.isConnected { for commands in calls { state.untold.add(commands) } }
            defer { state.failure = failure }
            return failure != nil && state.failure != failure
        }
        if isNew { logger.warning("what was to be notified is dropped", metadata: ["error": "\(error)"]) }
    }
}

/// When a process may notify next: at once after a quiet time, and for a few times in a row; on and on only so often.
///
/// Each NOTIFY wakes a backend and a thread of every process that listens, which together take more of the server than a small
/// group does. Source of the algorithm: the generic cell rate algorithm of ITU-T I.371, in its form with a virtual schedule.
struct NotificationPace {
    /// The time between two of them, on and on.
    static let interval: Duration = .milliseconds(4)
    /// How many may come at once.
    static let burst = 4

    /// When the next one would be due if all came in equal intervals.
    private var schedule: Duration = .zero

    /// When the one that is asked for now may be sent: `now`, or later.
    mutating func next(at now: Duration) -> Duration {
        let due = max(now, schedule - Self.interval * (Self.burst - 1))
        schedule = max(due, schedule) + Self.interval
        return due
    }
}

/// One log's end of a channel.
struct NotificationConnection: ReplicationConnection {
    let channel: NotificationChannel
    let number: Int

    func send(_ commands: [ReplicationCommand]) { channel.send(commands, from: number) }

    func close() async { channel.close(number) }
}

import Synchronization
import Tidemark
import TidemarkSQLite

/// The idle writers of one process. Each has a row, a heartbeat, a view of all positions and a schedule of its own;
/// they share the connection, one transaction for their heartbeats, and one look at the database a second.
final class Crowd: Sendable {
    private let stream: StreamName = "events"
    private let store: SQLiteEventStore
    private let writers: [Seat]
    private let connection = Mutex<(any ReplicationConnection)?>(nil)
    private let messages = Atomic(0)
    private let hasMetStranger = Atomic(false)
    private let time = TimeSource.continuous

    /// A mutex cannot be in an array by itself.
    private final class Seat: Sendable {
        private let state: Mutex<IdleWriter>

        init(_ writer: IdleWriter) { state = Mutex(writer) }

        func withLock<R: Sendable>(_ body: (inout IdleWriter) -> R) -> R { state.withLock { body(&$0) } }
    }

    init(_ store: SQLiteEventStore, names: [InstanceName]) async throws {
        self.store = store
        var writers: [Seat] = []
        for name in names {
            writers.append(Seat(IdleWriter(try await store.join(stream, as: name), stream: stream)))
        }
        self.writers = writers
    }

    /// How many announcements they have sent.
    var sent: Int { messages.load(ordering: .relaxed) }

    func connect(_ transport: some ReplicationTransport) async throws {
        let connection = try await transport.connect(as: "crowd") { [weak self] event in self?.received(event) }
        self.connection.withLock { $0 = connection }
        speak(isAsked: true)
    }

    private func received(_ event: ReplicationEvent) {
        switch event {
        case .connected, .command(.replicate): speak(isAsked: true)
        case .command(let command): hear(command)
        case .disconnected: break
        }
    }

    private func hear(_ command: ReplicationCommand) {
        let now = time.now
        var said: [ReplicationCommand] = []
        for writer in writers {
            writer.withLock { writer in
                if !writer.hear(command) { hasMetStranger.store(true, ordering: .relaxed) }
                if let command = writer.speak(isAsked: false, now: now) { said.append(command) }
            }
        }
        send(said)
    }

    private func speak(isAsked: Bool) {
        let now = time.now
        send(
            writers.compactMap { writer in
                writer.withLock { writer in
                    isAsked || writer.wakeAt <= now ? writer.speak(isAsked: isAsked, now: now) : nil
                }
            })
    }

    /// To the other processes, and to the others in this one.
    private func send(_ commands: [ReplicationCommand]) {
        guard !commands.isEmpty, let connection = connection.withLock({ $0 }) else { return }
        connection.send(commands)
        messages.add(commands.count, ordering: .relaxed)
        for command in commands { hear(command) }
    }

    // MARK: The database

    func reconcile() async throws {
        let minimum = writers.map { $0.withLock { $0.minimum } }.min() ?? 0
        guard let found = try await store.reconciliation(of: stream, above: minimum, limit: 10_000) else { return }
        // One after the other: what is heard meanwhile does not wait for all of them.
        for writer in writers { writer.withLock { $0.take(found) } }
        speak(isAsked: false)
    }

    private func beat() async throws {
        let answers = try await store.heartbeat(writers.map { $0.withLock { $0.heartbeat } })
        for (writer, answer) in zip(writers, answers) { writer.withLock { $0.answered(answer) } }
    }

    /// Heartbeats, reconciling and announcements that are due, until the task is cancelled.
    func run() async throws {
        let defaults = EventLogConfiguration()
        var (beatAt, reconcileAt) = (time.now, time.now)
        while !Task.isCancelled {
            let now = time.now
            if now >= beatAt {
                beatAt = now + (defaults.heartbeatInterval ?? .seconds(1))
                try await beat()
            }
            if now >= reconcileAt || hasMetStranger.exchange(false, ordering: .relaxed) {
                reconcileAt = now + (defaults.reconcileInterval ?? .seconds(1))
                try await reconcile()
            }
            speak(isAsked: false)
            // As finely as the shortest interval of announcements.
            try await time.sleep(for: .milliseconds(5))
        }
    }
}

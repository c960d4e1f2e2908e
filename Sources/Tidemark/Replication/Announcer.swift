import Metrics
import Synchronization

/// Tells the other instances which IDs of this one are finished, and where its position is.
///
/// When to speak is decided by ``AnnouncementSchedule``; this class adds the lock, the timer and the connection.
final class Announcer: GeneratorObserver {
    private let stream: StreamName
    private let generator: MultiWriterIDGenerator
    private let announcements: EventLogConfiguration.Announcements
    private let announcedRows: Int
    private let time: TimeSource
    private let state: Mutex<State>
    private let positionCounter: Counter
    private let rowCounter: Counter

    private struct State {
        var writer: Writer?
        var connection: (any ReplicationConnection)?
        var schedule: AnnouncementSchedule
        var timer: (at: Duration, task: Task<Void, Never>)?
        var counts = Counts()
    }

    struct Counts: Sendable {
        var positions = 0
        var rows = 0
    }

    init(
        stream: StreamName, generator: MultiWriterIDGenerator, configuration: EventLogConfiguration, time: TimeSource
    ) {
        self.stream = stream
        self.generator = generator
        announcements = configuration.announcements
        announcedRows = configuration.announcedRows
        self.time = time
        let labels = [("stream", stream.rawValue), ("instance", generator.instance.rawValue)]
        positionCounter = Counter(label: "tidemark_announced_positions", dimensions: labels)
        rowCounter = Counter(label: "tidemark_announced_rows", dimensions: labels)
        state = Mutex(State(schedule: AnnouncementSchedule(announced: 0)))
    }

    var counts: Counts { state.withLock { $0.counts } }

    /// From now on this writer speaks, over this connection. A new epoch begins with its durable position, which
    /// everyone reads with the members.
    func start(as writer: Writer, at position: StreamID, over connection: any ReplicationConnection) {
        state.withLock { state in
            state.writer = writer
            state.connection = connection
            state.schedule = AnnouncementSchedule(announced: position)
        }
        speak(isAsked: announcements != .none)
    }

    func stop() {
        state.withLock { state in
            state.timer?.task.cancel()
            state.timer = nil
            state.writer = nil
            state.connection = nil
        }
    }

    /// Somebody asked for everyone's position, or a connection is new.
    func announceNow() {
        if case .asNeeded = announcements { speak(isAsked: true) }
    }

    func positionsChanged() {
        if case .asNeeded = announcements { speak(isAsked: false) }
    }

    func finished(committed: [StreamID], abandoned: [StreamID]) {
        guard let highest = (committed + abandoned).max() else { return }
        announceRows(committed.count + abandoned.count, through: highest) {
            committed.map { ($0, JSONText.emptyArray) } + abandoned.map { ($0, JSONText.null) }
        }
    }

    /// A group of events that the persister committed.
    func committed(_ events: [Event], _ outcomes: [PersistOutcome]) {
        var count = 0
        var highest: StreamID?
        for case .persisted(let id) in outcomes {
            count += 1
            highest = max(id, highest ?? id)
        }
        guard let highest else { return }
        announceRows(count, through: highest) {
            zip(events, outcomes).compactMap { event, outcome in
                if case .persisted(let id) = outcome { (id, .array(of: event.id)) } else { nil }
            }
        }
    }

    /// - Parameter rows: made only where they are told.
    private func announceRows(_ count: Int, through highest: StreamID, _ rows: () -> [(id: StreamID, row: JSONText)]) {
        guard case .asNeeded = announcements else { return }
        let (connection, commands): ((any ReplicationConnection)?, [ReplicationCommand]) = state.withLock { state in
            guard let writer = state.writer, let connection = state.connection else { return (nil, []) }
            if count > announcedRows {
                state.schedule.wroteUntoldRows(through: highest)
                return (nil, [])
            }
            let rows = rows()
            state.counts.rows += count
            state.schedule.told(rowAt: highest)
            return (
                connection,
                rows.map { .rdata(ReplicationRow(stream: stream, writer: writer, token: .id($0.id), row: $0.row)) }
            )
        }
        connection?.send(commands)
        rowCounter.increment(by: commands.count)
        // An idle moment to look at the position too: a group that was too large is told of by it.
        speak(isAsked: false)
    }

    private func timing(writers: Int) -> AnnouncementSchedule.Timing? {
        var timing = AnnouncementSchedule.Timing.forWriters(writers)
        switch announcements {
        case .none: return nil
        case .asNeeded(let interval):
            if let interval { timing.interval = interval }
        case .periodic(let interval): timing = .init(interval: interval, repetition: interval)
        }
        return timing
    }

    private func speak(isAsked: Bool) {
        guard let announced = state.withLock({ $0.connection == nil ? nil : $0.schedule.announced }) else { return }
        let look = generator.look(announced: announced)
        guard let position = look.position, let timing = timing(writers: look.writers) else { return }
        let need = if case .periodic = announcements { AnnouncementSchedule.Need.none } else { look.need }
        let now = time.now
        let (connection, command): ((any ReplicationConnection)?, ReplicationPosition?) = state.withLock { state in
            guard let writer = state.writer, let connection = state.connection else { return (nil, nil) }
            var command: ReplicationPosition?
            var action = state.schedule.next(
                position: max(position, state.schedule.announced), need: need, isAsked: isAsked,
                timing: timing, now: now)
            if case .announce(let previous, let new) = action {
                command = ReplicationPosition(stream: stream, writer: writer, previous: previous, new: new)
                state.counts.positions += 1
                action = state.schedule.next(position: new, need: .none, timing: timing, now: now)
            }
            if case .wait(let until) = action { schedule(&state, at: until) }
            return (connection, command)
        }
        if let command {
            connection?.send([.position(command)])
            positionCounter.increment()
        }
    }

    private func schedule(_ state: inout State, at deadline: Duration) {
        if let timer = state.timer, timer.at <= deadline { return }
        state.timer?.task.cancel()
        let task = Task { [weak self, time] in
            do { try await time.sleep(until: deadline) } catch { return }
            self?.timerFired(deadline)
        }
        state.timer = (deadline, task)
    }

    private func timerFired(_ deadline: Duration) {
        let isCurrent = state.withLock { state in
            guard state.timer?.at == deadline else { return false }
            state.timer = nil
            return true
        }
        if isCurrent { speak(isAsked: false) }
    }
}

extension MultiWriterIDGenerator {
    /// What an announcer has to know, read under one lock.
    struct AnnouncerView {
        /// Nil when this instance only reads.
        let position: StreamID?
        let need: AnnouncementSchedule.Need
        let writers: Int
    }

    func look(announced: StreamID) -> AnnouncerView {
        state.withLock { state in
            AnnouncerView(
                position: state.tracker.position,
                need: state.tracker.announcementNeed(announced: announced),
                writers: state.tracker.memberCount)
        }
    }
}

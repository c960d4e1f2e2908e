import Metrics
import Synchronization

/// Tells the other instances which IDs of this one are finished, and where its position is.
///
/// When to speak is decided by ``AnnouncementSchedule``; this class adds the lock, the timer and the connection. What this
/// instance only heard it promises up to the sequence as it was read last; where others need more than that, the sequence
/// is read first.
final class Announcer: GeneratorObserver {
    private let stream: StreamName
    private let generator: MultiWriterIDGenerator
    private let announcements: EventLogConfiguration.Announcements
    private let announcedRows: Int
    private let readSequence: @Sendable () async throws -> Void
    private let time: TimeSource
    private let state: Mutex<State>
    private let positionCounter: Counter
    private let rowCounter: Counter

    private struct State {
        var speaker: Speaker?
        var connection: (any ReplicationConnection)?
        var schedule: AnnouncementSchedule
        var timer: (at: Duration, task: Task<Void, Never>)?
        /// For good: what is said on this channel does harm.
        var isSilent = false
        var isReading = false
        var readAt: Duration?
        var counts = Counts()

        mutating func stop() {
            timer?.task.cancel()
            timer = nil
            speaker = nil
            connection = nil
        }
    }

    struct Counts: Sendable {
        var positions = 0
        var rows = 0
    }

    init(
        stream: StreamName, generator: MultiWriterIDGenerator, configuration: EventLogConfiguration, time: TimeSource,
        label: String, readSequence: @escaping @Sendable () async throws -> Void
    ) {
        self.readSequence = readSequence
        self.stream = stream
        self.generator = generator
        announcements = configuration.announcements
        announcedRows = configuration.announcedRows
        self.time = time
        let labels = [("stream", stream.rawValue), ("instance", label)]
        positionCounter = Counter(label: "tidemark_announced_positions", dimensions: labels)
        rowCounter = Counter(label: "tidemark_announced_rows", dimensions: labels)
        state = Mutex(State(schedule: AnnouncementSchedule(announced: 0)))
    }

    var counts: Counts { state.withLock { $0.counts } }

    /// From now on this writer speaks, over this connection. A new epoch begins with its durable position, which
    /// everyone reads with the members.
    func start(as speaker: Speaker, at position: StreamID, over connection: any ReplicationConnection) {
        state.withLock { state in
            guard !state.isSilent else { return }
            state.speaker = speaker
            state.connection = connection
            state.schedule = AnnouncementSchedule(announced: position)
        }
        speak(isAsked: announcements != .none)
    }

    func stop() {
        state.withLock { $0.stop() }
    }

    /// Says nothing any more, whatever starts it again. True the first time.
    func fallSilent() -> Bool {
        state.withLock { state in
            if state.isSilent { return false }
            state.isSilent = true
            state.stop()
            return true
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
            guard let speaker = state.speaker, let connection = state.connection else { return (nil, []) }
            if count > announcedRows {
                state.schedule.wroteUntoldRows(through: highest)
                return (nil, [])
            }
            let rows = rows()
            state.counts.rows += count
            state.schedule.told(rowAt: highest)
            return (
                connection,
                rows.map { row in
                    .rdata(
                        ReplicationRow(
                            stream: stream, writer: speaker.writer, nonce: speaker.nonce, token: .id(row.id),
                            row: row.row))
                }
            )
        }
        connection?.send(commands)
        rowCounter.increment(by: commands.count)
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

    /// - Parameter mayRead: whether the sequence may be read first, when others need more than what may be promised now.
    private func speak(isAsked: Bool, mayRead: Bool = true) {
        guard let announced = state.withLock({ $0.connection == nil ? nil : $0.schedule.announced }) else { return }
        let look = generator.look(announced: announced)
        guard let promise = look.promise, let timing = timing(writers: look.writers) else { return }
        let position = promise.position
        let isPeriodic = if case .periodic = announcements { true } else { false }
        let now = time.now
        if mayRead, promise.afterReading > position {
            readFirst(
                promise.afterReading, need: isPeriodic ? .holdsBack : look.needAfterReading, timing: timing, now: now)
        }
        let (connection, command): ((any ReplicationConnection)?, ReplicationPosition?) = state.withLock { state in
            guard let speaker = state.speaker, let connection = state.connection else { return (nil, nil) }
            if state.isReading, !isAsked, let readAt = state.readAt, now < readAt + Self.patience {
                // Its end comes back here, and after that time what may be promised now has to do.
                schedule(&state, at: readAt + Self.patience)
                return (nil, nil)
            }
            var command: ReplicationPosition?
            let need = isPeriodic ? AnnouncementSchedule.Need.none : look.need
            var action = state.schedule.next(
                position: max(position, state.schedule.announced), need: need, isAsked: isAsked,
                hasUntoldRows: look.hasUntoldRows, timing: timing, now: now)
            if case .announce(let previous, let new) = action {
                command = ReplicationPosition(
                    stream: stream, writer: speaker.writer, nonce: speaker.nonce, previous: previous, new: new)
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

    /// How long an announcement waits for the sequence to be read.
    private static let patience = Duration.milliseconds(100)

    /// Reads the sequence, as soon as the position that follows from it may be announced, and announces that then.
    private func readFirst(
        _ position: StreamID, need: AnnouncementSchedule.Need, timing: AnnouncementSchedule.Timing, now: Duration
    ) {
        let begins = state.withLock { state in
            guard state.connection != nil, !state.isReading else { return false }
            let dueAt = state.schedule.dueAt(position: position, need: need, timing: timing) ?? now
            // One that has failed is not made again at once.
            let readAt = max(dueAt, state.readAt.map { $0 + timing.interval } ?? dueAt)
            if now < readAt {
                schedule(&state, at: readAt)
                return false
            }
            state.isReading = true
            state.readAt = now
            return true
        }
        guard begins else { return }
        Task { [weak self, readSequence] in
            // Where it fails, what may be promised now has to do.
            try? await readSequence()
            guard let self else { return }
            self.state.withLock { $0.isReading = false }
            self.speak(isAsked: false, mayRead: false)
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
        let promise: PositionTracker.Promise?
        let need: AnnouncementSchedule.Need
        /// What others need of the position that it could be at once the sequence was read.
        let needAfterReading: AnnouncementSchedule.Need
        /// Rows at or below the position are about to be told.
        let hasUntoldRows: Bool
        let writers: Int
    }

    func look(announced: StreamID) -> AnnouncerView {
        state.withLock { state in
            let promise = state.tracker.promise
            let need = state.tracker.announcementNeed(announced: announced)
            var needAfterReading = need
            if let promise, promise.afterReading > promise.position {
                needAfterReading = state.tracker.announcementNeed(announced: announced, position: promise.afterReading)
            }
            return AnnouncerView(
                promise: promise, need: need, needAfterReading: needAfterReading,
                hasUntoldRows: state.untold > 0,
                writers: state.tracker.memberCount)
        }
    }
}

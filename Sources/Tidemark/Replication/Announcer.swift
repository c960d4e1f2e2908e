import Logging
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
    private let logger: Logger
    private let others: Others
    private let state: Mutex<State>
    private let positionCounter: Counter
    private let rowCounter: Counter

    private struct State {
        var speaker: Speaker?
        var connection: (any ReplicationConnection)?
        var schedule: AnnouncementSchedule
        var timer: (at: Duration, task: Task<Void, Never>)?
        var silence: ChannelSilence
        /// Whether the log says already that lines without an epoch are not taken for other software.
        var hasToldStrangeLines = false
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

    /// What a writer makes of other software on its channel, which lines without an epoch are taken for.
    enum Others {
        /// It does not speak beside it.
        case heeded
        /// There is none: the channel belongs to the database.
        case impossible
        /// It speaks all the same.
        case ignored
    }

    struct Counts: Sendable {
        var positions = 0
        var rows = 0
    }

    init(
        stream: StreamName, generator: MultiWriterIDGenerator, transport: (any ReplicationTransport)?,
        configuration: EventLogConfiguration, time: TimeSource, logger: Logger, label: String,
        readSequence: @escaping @Sendable () async throws -> Void
    ) {
        self.readSequence = readSequence
        self.stream = stream
        self.generator = generator
        announcements = configuration.announcements
        announcedRows = configuration.announcedRows
        self.time = time
        self.logger = logger
        others =
            configuration.speaksBesideOthers ? .ignored : transport?.belongsToDatabase == true ? .impossible : .heeded
        let listening = others == .heeded ? transport?.listensFirst ?? .zero : .zero
        let labels = [("stream", stream.rawValue), ("instance", label)]
        positionCounter = Counter(label: "tidemark_announced_positions", dimensions: labels)
        rowCounter = Counter(label: "tidemark_announced_rows", dimensions: labels)
        state = Mutex(
            State(
                schedule: AnnouncementSchedule(announced: 0),
                silence: ChannelSilence(
                    listening: listening, quietTime: configuration.quietTimeBesideOthers, now: time.now)))
    }

    var counts: Counts { state.withLock { $0.counts } }

    /// From now on this writer speaks, over this connection. A new epoch begins with its durable position, which
    /// everyone reads with the members.
    func start(as speaker: Speaker, at position: StreamID, over connection: any ReplicationConnection) {
        state.withLock { state in
            state.speaker = speaker
            state.connection = connection
            state.schedule = AnnouncementSchedule(announced: position)
        }
        speak(isAsked: announcements != .none)
    }

    func stop() {
        state.withLock { $0.stop() }
    }

    /// What was heard until now was on another connection, and what others hear is new.
    func connected() {
        let now = time.now
        state.withLock { $0.silence.connected(now: now) }
        announceNow()
    }

    /// Somebody announces a stream without an epoch, this one or another: that is no log, and not to be disturbed.
    func heardOtherSoftware(_ stream: StreamName, _ writer: Writer) {
        let metadata: Logger.Metadata = ["announced": "\(stream)", "said_by": "\(writer)"]
        switch others {
        case .ignored:
            break
        case .impossible:
            let isFirst = state.withLock { state in
                defer { state.hasToldStrangeLines = true }
                return !state.hasToldStrangeLines
            }
            guard isFirst else { return }
            logger.warning(
                "streams are announced without an epoch on the database's own channel: that counts for nothing",
                metadata: metadata)
        case .heeded:
            let now = time.now
            let fallsSilent = state.withLock { state in
                guard state.silence.heardOtherSoftware(now: now) else { return false }
                if state.connection != nil, case .wait(let until) = state.silence.look(now: now) {
                    schedule(&state, at: until)
                }
                return true
            }
            guard fallsSilent else { return }
            logger.warning(
                """
                other software announces streams on this channel: this log does not speak there, and what it writes is \
                read through the database, which is slower; give it a channel of its own
                """,
                metadata: metadata)
        }
    }

    /// Somebody asked for everyone's position.
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
            if count > announcedRows || !state.silence.speaks {
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
        guard let (announced, begins) = mayBegin() else { return }
        let isAsked = isAsked || begins
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
            guard let speaker = state.speaker, let connection = state.connection, state.silence.speaks else {
                return (nil, nil)
            }
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

    /// What was announced last, and whether nothing was to be said until now. Nil where nothing is to be said: there is no
    /// connection, or other software may be on the channel.
    private func mayBegin() -> (announced: StreamID, begins: Bool)? {
        let found: (ChannelSilence.Verdict, StreamID, any ReplicationConnection)? = state.withLock { state in
            guard let connection = state.connection else { return nil }
            let verdict = state.silence.speaks ? .speak : state.silence.look(now: time.now)
            switch verdict {
            case .ask(let deadline), .wait(let deadline): schedule(&state, at: deadline)
            case .speak, .begin: break
            }
            return (verdict, state.schedule.announced, connection)
        }
        guard let (verdict, announced, connection) = found else { return nil }
        switch verdict {
        case .speak:
            return (announced, false)
        case .begin(let wasSilent):
            if wasSilent {
                logger.notice("no other software is heard on this channel any more: this log speaks there again")
            }
            return (announced, true)
        case .ask:
            connection.send([.replicate])
            return nil
        case .wait:
            return nil
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

/// What an instance says of its own position over replication.
public enum Announcements: Hashable, Sendable {
    /// Which of its IDs are finished, and its position when readers need it: at most once in this interval (nil:
    /// 5 ms, and longer as the number of writers grows), and again at a slow beat.
    case asNeeded(interval: Duration? = nil)
    /// Nothing but the position, once in this interval.
    case periodic(Duration)
    /// Nothing at all.
    case none
}

/// One thing that an instance says to the others. The shell around the state machine makes a line of it.
public enum StreamMessage: Hashable, Sendable {
    /// Where is everyone?
    case question
    /// The writer wrote no rows between the two, and promises to write nothing at or below `new`.
    case position(Speaker, previous: StreamID, new: StreamID)
    /// The ID holds an event. Its id is there where the writer knows it.
    case event(Speaker, StreamID, eventID: String?)
    /// The ID holds a tombstone.
    case tombstone(Speaker, StreamID)
}

/// Decides what an instance says of itself, and when.
///
/// It speaks while it has joined, is connected, has listened for as long as the channel demands, and is not silenced.
/// What the instance only heard it promises up to the newest sequence that was read; where others need more than that,
/// the sequence is read first.
///
/// Invariant: a row is told before any position that is not below it.
struct Announcer: Sendable {
    /// The result of a look at the positions.
    struct Outcome {
        var message: StreamMessage?
        /// It was silent for the sake of others, and speaks again.
        var speaksAgain = false
        /// The sequence has to be read, and ``sequenceWasRead()`` called when that is over, whatever came of it.
        var readsSequence = false
    }

    /// How long an announcement waits for the sequence to be read.
    private static let patience = Duration.milliseconds(100)

    let announcements: Announcements
    private let rowLimit: Int
    private var joined: (speaker: Speaker, position: StreamID)?
    /// The shell has a connection to send over, and what it leads to is there.
    private(set) var isAttached = false
    private var isLinked = false
    private var isConnected: Bool { isAttached && isLinked }
    /// Whether other software may come to harm by what it says.
    private var silence = ChannelSilence(listening: .zero, quietTime: .zero, now: .zero)
    private var schedule = AnnouncementSchedule(announced: 0)
    /// When to look again, if nothing changes before.
    private(set) var dueAt: Duration?
    private var isReading = false
    private var readAt: Duration?
    private(set) var counts = AnnouncementCounts()

    init(_ announcements: Announcements, rowLimit: Int) {
        self.announcements = announcements
        self.rowLimit = rowLimit
    }

    /// Whether anything may be said on the channel, also before this instance has joined.
    var maySpeak: Bool { isConnected && silence.speaks && announcements != .none }
    /// The writer to speak as; nil while nothing may be said.
    private var speaker: Speaker? { maySpeak ? joined?.speaker : nil }

    /// Whether a change of positions has it look.
    /// (A mutating getter, so that nothing is copied for the call.)
    var followsChanges: Bool {
        mutating get { if case .asNeeded = announcements { joined != nil && isConnected } else { false } }
    }

    // MARK: Whether it speaks

    /// A new epoch begins with its durable position, which everyone reads with the members.
    mutating func joined(as speaker: Speaker, at position: StreamID) {
        joined = (speaker, position)
        schedule = AnnouncementSchedule(announced: position)
        dueAt = nil
    }

    mutating func left() {
        joined = nil
        dueAt = nil
    }

    /// - Parameters:
    ///   - listening: for how long it listens on a new connection before it speaks.
    ///   - quietTime: how long nothing of other software may have been heard before it speaks again.
    mutating func connecting(listening: Duration, quietTime: Duration, now: Duration) {
        silence = ChannelSilence(listening: listening, quietTime: quietTime, now: now)
    }

    mutating func attached() { isAttached = true }
    mutating func detached() { isAttached = false }

    /// Rows up to this ID are not told: a position that passes them says so.
    mutating func leavesUntold(through id: StreamID) {
        if joined != nil { schedule.wroteUntoldRows(through: id) }
    }

    mutating func connected(now: Duration) {
        isLinked = true
        silence.connected(now: now)
    }

    mutating func disconnected() {
        isLinked = false
        dueAt = nil
    }

    /// Other software is on the channel, which may come to harm. True where this instance falls silent now.
    mutating func heardOtherSoftware(now: Duration) -> Bool {
        defer { if isConnected, joined != nil, case .wait(let until) = silence.look(now: now) { dueAt = until } }
        return silence.heardOtherSoftware(now: now)
    }

    // MARK: Rows

    /// Whether rows are told one by one, of a group of so many; otherwise a position will tell of them.
    mutating func tells(_ count: Int, through highest: StreamID) -> Speaker? {
        guard case .asNeeded = announcements, joined != nil else { return nil }
        // Nobody hears it now, but a position that passes it may be heard later.
        guard let speaker, count <= rowLimit else {
            schedule.wroteUntoldRows(through: highest)
            return nil
        }
        schedule.told(rowAt: highest)
        counts.rows += count
        return speaker
    }

    // MARK: Positions

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

    /// Something has changed, somebody asks, or the time has come.
    ///
    /// - Parameter mayRead: whether the sequence may be read first, when others need more than what may be promised now.
    mutating func look(
        at tracker: inout PositionTracker, isAsked: Bool, mayRead: Bool = true, now: Duration
    ) -> Outcome {
        var outcome = Outcome()
        guard isConnected, joined != nil, announcements != .none else { return outcome }
        var isAsked = isAsked
        if !silence.speaks {
            switch silence.look(now: now) {
            case .speak: break
            case .begin(let wasSilent):
                outcome.speaksAgain = wasSilent
                isAsked = true
            case .ask(let lookAt):
                outcome.message = .question
                dueAt = lookAt
                return outcome
            case .wait(let until):
                dueAt = until
                return outcome
            }
        }
        guard let speaker, let promise = tracker.promise, let timing = timing(writers: tracker.memberCount) else {
            return outcome
        }
        let announced = schedule.announced
        let isPeriodic = if case .periodic = announcements { true } else { false }
        if mayRead, promise.afterReading > promise.position {
            let need =
                isPeriodic
                ? .holdsBack : tracker.announcementNeed(announced: announced, position: promise.afterReading)
            outcome.readsSequence = readsFirst(promise.afterReading, need: need, timing: timing, now: now)
        }
        if isReading, !isAsked, let readAt, now < readAt + Self.patience {
            // Its end comes back here, and after that time what may be promised now has to do.
            lookAgain(at: readAt + Self.patience)
            return outcome
        }
        let need = isPeriodic ? AnnouncementSchedule.Need.none : tracker.announcementNeed(announced: announced)
        var action = schedule.next(
            position: max(promise.position, announced), need: need, isAsked: isAsked, timing: timing, now: now)
        if case .announce(let previous, let new) = action {
            outcome.message = .position(speaker, previous: previous, new: new)
            counts.positions += 1
            dueAt = nil
            action = schedule.next(position: new, need: .none, timing: timing, now: now)
        }
        if case .wait(let until) = action { lookAgain(at: until) }
        return outcome
    }

    /// Whether to read the sequence now: as soon as the position that follows from it may be announced.
    private mutating func readsFirst(
        _ position: StreamID, need: AnnouncementSchedule.Need, timing: AnnouncementSchedule.Timing, now: Duration
    ) -> Bool {
        guard !isReading else { return false }
        let due = schedule.dueAt(position: position, need: need, timing: timing) ?? now
        // One that has failed is not made again at once.
        let at = max(due, readAt.map { $0 + timing.interval } ?? due)
        if now < at {
            lookAgain(at: at)
            return false
        }
        isReading = true
        readAt = now
        return true
    }

    /// Where it failed, what may be promised now has to do.
    mutating func sequenceWasRead() { isReading = false }

    private mutating func lookAgain(at time: Duration) {
        if dueAt.map({ $0 <= time }) != true { dueAt = time }
    }

    /// The time has come.
    mutating func takeDue(now: Duration) -> Bool {
        guard let dueAt, dueAt <= now else { return false }
        self.dueAt = nil
        return true
    }
}

/// What an instance has said over replication.
public struct AnnouncementCounts: Hashable, Sendable {
    /// How many positions.
    public var positions = 0
    /// How many rows, events and tombstones.
    public var rows = 0

    /// All 0.
    public init() {}
}

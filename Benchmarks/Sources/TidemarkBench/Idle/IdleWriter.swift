import Tidemark

/// One of many idle writers that a process simulates: the library's own state machines, without the tasks and locks
/// that a log has around them.
struct IdleWriter {
    let writer: Writer
    private let nonce: Int64?
    private let stream: StreamName
    private var tracker: PositionTracker
    private var schedule: AnnouncementSchedule
    /// When it wants to be asked again, if it hears nothing.
    private(set) var wakeAt: Duration = .zero

    init(_ joined: Joined, stream: StreamName) {
        writer = joined.writer
        nonce = joined.nonce
        self.stream = stream
        tracker = PositionTracker(
            instance: joined.writer.instance, members: joined.membership.members, version: joined.membership.version)
        tracker.pin(to: joined.writer)
        schedule = AnnouncementSchedule(announced: joined.position)
    }

    var minimum: StreamID { tracker.minimum }

    var heartbeat: Heartbeat { Heartbeat(stream: stream, writer: writer, position: tracker.position ?? 0) }

    /// False when it does not know the sender as a member, and should ask the database.
    mutating func hear(_ command: ReplicationCommand) -> Bool {
        switch command {
        case .position(let position) where position.writer != writer:
            tracker.advance(position.writer, to: position.new)
            return tracker.epoch(of: position.writer.instance) == position.writer.epoch
        case .rdata(let row):
            if case .id(let id) = row.token { tracker.advance(row.writer, finished: id) }
            return tracker.epoch(of: row.writer.instance) == row.writer.epoch
        default:
            return true
        }
    }

    mutating func answered(_ answer: HeartbeatAnswer) {
        guard case .alive(let newestCommitted, let durablePosition) = answer else { return }
        tracker.recordKnown(newestCommitted)
        tracker.closed(writer, through: durablePosition)
    }

    mutating func take(_ found: Reconciliation) {
        tracker.take(found.membership, newestCommitted: found.newestCommitted, finished: found.finished)
    }

    /// What it has to say now: its position, or nothing.
    mutating func speak(isAsked: Bool, now: Duration) -> ReplicationCommand? {
        guard let position = tracker.position else { return nil }
        let timing = AnnouncementSchedule.Timing.forWriters(tracker.memberCount)
        let need = tracker.announcementNeed(announced: schedule.announced)
        var command: ReplicationCommand?
        var action = schedule.next(
            position: max(position, schedule.announced), need: need, isAsked: isAsked, timing: timing, now: now)
        if case .announce(let previous, let new) = action {
            command = .position(
                ReplicationPosition(stream: stream, writer: writer, nonce: nonce, previous: previous, new: new))
            action = schedule.next(position: new, need: .none, timing: timing, now: now)
        }
        if case .wait(let until) = action { wakeAt = until }
        return command
    }
}

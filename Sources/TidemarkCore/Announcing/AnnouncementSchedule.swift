/// When an instance announces its position: at once after a quiet time, otherwise at most once per interval, and again
/// at a slow beat while nothing changes, so that a lost message heals.
///
/// Only what readers need is announced: while the runs of finished IDs that they hear have no gap, the minimum passes
/// an idle writer's last announcement by itself, and the writer need not speak.
public struct AnnouncementSchedule: Sendable {
    /// How often there is something to say.
    public struct Timing: Hashable, Sendable {
        /// The least time between two announcements of changes.
        public var interval: Duration
        /// The time after which the position is repeated.
        public var repetition: Duration

        /// `repetition` should be several times `interval`; nothing is checked.
        public init(interval: Duration, repetition: Duration) {
            self.interval = interval
            self.repetition = repetition
        }

        /// The default for a stream with this many writers: 5 ms and 1 s, and longer from 10 writers on, so that all of
        /// them together send at most 2,000 announcements a second, and repeat at most 500.
        public static func forWriters(_ count: Int) -> Timing {
            Timing(
                interval: max(.milliseconds(5), .microseconds(500) * count),
                repetition: max(.seconds(1), .milliseconds(2) * count))
        }
    }

    /// What readers need of this instance.
    public enum Need: Hashable, Sendable {
        /// Its position says nothing that runs of finished IDs do not.
        case none
        /// Readers stand at a gap, where this instance's announced position holds them as others' do.
        case mayHoldBack
        /// This instance's announced position alone holds readers back.
        case holdsBack
    }

    /// What the owner has to do next.
    public enum Action: Hashable, Sendable {
        /// Say that no row of this writer lies between the two (or that it cannot say, where `previous` is not below
        /// `new`), and ask again.
        case announce(previous: StreamID, new: StreamID)
        /// Nothing is to be said before this time, if nothing changes.
        case wait(until: Duration)
    }

    /// The position announced last.
    public private(set) var announced: StreamID
    private var announcedAt: Duration?
    /// Whether somebody asked since then.
    private var isAnswerDue = false
    /// The highest of what was said, as a position or with a row.
    private var said: StreamID
    /// The highest of the rows that were written since the last announcement and that nobody was told of.
    private var untold: StreamID?

    /// Begins with a position that others have, or will read from the database.
    public init(announced: StreamID) {
        self.announced = announced
        said = announced
    }

    /// Rows at these IDs were announced one by one.
    public mutating func told(rowAt id: StreamID) {
        said = max(said, id)
    }

    /// Rows up to this ID were written without being announced: the next position says so, by a previous one that is
    /// above all that anybody has heard, so that they are fetched. It is above the new one where that has to wait for
    /// an ID in flight.
    public mutating func wroteUntoldRows(through id: StreamID) {
        untold = max(id, untold ?? id)
    }

    /// - Parameters:
    ///   - position: this instance's position.
    ///   - need: whether the position announced last holds somebody's minimum back. Where it only may, it is announced
    ///     ten times less often: a gap is mostly an ID that is in flight.
    ///   - isAsked: somebody asked for the position: it is announced also where it is what it was, with the interval
    ///     since the last time. One answer is for all who asked: when a server is gone, everyone asks everyone.
    public mutating func next(
        position: StreamID, need: Need, isAsked: Bool = false, timing: Timing, now: Duration
    ) -> Action {
        isAnswerDue = isAnswerDue || isAsked
        guard let dueAt = dueAt(position: position, need: need, timing: timing), now < dueAt else {
            return announce(position, now: now)
        }
        return .wait(until: dueAt)
    }

    /// From when on this position may be announced; nil where nothing was announced yet.
    public func dueAt(position: StreamID, need: Need, timing: Timing) -> Duration? {
        guard let announcedAt else { return nil }
        let repeatAt = announcedAt + timing.repetition
        guard isAnswerDue || untold != nil || (position > announced && need != .none) else { return repeatAt }
        let interval = isAnswerDue || untold != nil || need == .holdsBack ? timing.interval : timing.interval * 10
        return min(announcedAt + interval, repeatAt)
    }

    private mutating func announce(_ position: StreamID, now: Duration) -> Action {
        // A new epoch may start below what an older one of the name announced; within one, positions only rise.
        let previous = untold.map { max($0, position) } ?? min(max(announced, said), position)
        announced = position
        said = max(said, previous)
        announcedAt = now
        untold = nil
        isAnswerDue = false
        return .announce(previous: previous, new: position)
    }
}

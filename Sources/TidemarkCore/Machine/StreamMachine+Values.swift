/// What goes into the machine and comes out of it.
extension StreamMachine {
    /// What an instance relies on, noted before a snapshot is opened, and compared with it afterwards.
    public typealias Note = PositionTracker.Note
    /// What a caller that needs a newer epoch of this instance has to do.
    public typealias JoinStep = OwnMembership.Step
    /// Which writers to close, and which to retire.
    public typealias Decision = SilenceWatch.Decision

    /// How an instance takes part in its stream.
    public struct Configuration: Sendable {
        /// How often positions are announced.
        public var announcements = Announcements.asNeeded()
        /// Rows that are told one by one after a commit; of a larger group only the position is announced.
        public var announcedRows = 64
        /// How often a writer that runs writes its heartbeat; nil: never.
        public var heartbeatInterval: Duration? = .seconds(1)
        /// How often the database is asked, at least, while the log runs; nil: never.
        public var reconcileInterval: Duration? = .seconds(1)
        /// It is asked sooner when the minimum has stood still for so long while something above it is known.
        public var stallInterval: Duration = .milliseconds(250)
        /// Whether silent writers are closed and retired.
        public var closesSilentWriters = false
        /// How long a writer is silent before it is closed.
        public var silenceTimeout: Duration = .seconds(5)
        /// How long it is silent before it is retired; at least ``silenceTimeout``.
        public var retirementTimeout: Duration = .seconds(600)
        /// Whether to speak where other software announces streams.
        public var speaksBesideOthers = false
        /// How long nothing of other software may have been heard before a writer speaks again.
        public var quietTime: Duration = .seconds(60)

        /// The defaults.
        public init() {}
    }

    /// What is to be done outside.
    public struct Directives: OptionSet, Sendable {
        /// One bit for each.
        public let rawValue: UInt16
        /// For the set's own constants.
        public init(rawValue: UInt16) { self.rawValue = rawValue }

        /// The watermark has changed: wake the callers that wait for it.
        public static let wake = Directives(rawValue: 1 << 0)
        /// Send what ``StreamMachine/takeMessages()`` gives, in order.
        public static let send = Directives(rawValue: 1 << 1)
        /// Ask the database for everything, as ``StreamMachine/beginReconcile(awake:)`` says.
        public static let reconcile = Directives(rawValue: 1 << 2)
        /// The same, because of something that was heard.
        public static let catchUp = Directives(rawValue: 1 << 12)
        /// Read the sequence, and nothing else; ``StreamMachine/sequenceWasRead(now:)`` follows, whatever came of it.
        public static let readSequence = Directives(rawValue: 1 << 3)
        /// Give up what ``StreamMachine/takeAbandonments(now:)`` gives.
        public static let abandon = Directives(rawValue: 1 << 4)
        /// Write the heartbeat that ``StreamMachine/heartbeat(of:now:)`` gives; ``StreamMachine/heartbeatEnded()`` follows.
        public static let heartbeat = Directives(rawValue: 1 << 5)
        /// Carry out what ``StreamMachine/takeDecision()`` gives.
        public static let closeWriters = Directives(rawValue: 1 << 6)
        /// This writer was retired: join again.
        public static let rejoin = Directives(rawValue: 1 << 7)
        /// Tell the transport that this instance has caught up.
        public static let caughtUp = Directives(rawValue: 1 << 8)
        /// Let people know what ``StreamMachine/takeReports()`` gives.
        public static let report = Directives(rawValue: 1 << 9)
        /// The minimum was looked at, as it is regularly: measure it.
        public static let observe = Directives(rawValue: 1 << 10)
        /// ``StreamMachine/nextDeadline`` may be another one.
        public static let timer = Directives(rawValue: 1 << 13)
        /// The minimum has stood still for long: let people know who holds it back.
        public static let explain = Directives(rawValue: 1 << 11)
    }

    /// What a person should know.
    public enum Report: Hashable, Sendable {
        /// Scopes ran over their limit; these IDs are abandoned.
        case scopeExpired([StreamID])
        /// IDs of this writer in flight were closed.
        case closed([StreamID])
        /// What was heard cannot be true. `isSaid` is true where it is to be logged now, and not only counted.
        case falseNews(FalseNews, isSaid: Bool)
        /// A writer of another database is on the channel. `isFirst` is true the first time.
        case foreign(Speaker, isFirst: Bool)
        /// Other software announces streams on the channel: nothing is said there any more.
        case fellSilent(StreamName, Writer)
        /// The same on a channel that only this database's programs can use: the line changes nothing.
        case strangeLine(StreamName, Writer)
        /// Other software is heard no more: this instance speaks again.
        case speaksAgain
    }

    /// A question to the database that has not been answered.
    public struct Reconcile: Sendable {
        /// What this instance went by before it asked.
        public let note: PositionTracker.Note
        /// Where rows are asked for above.
        public let minimum: StreamID
        /// An event to look up after the answer was read and before it is used. If it is still there, the answer came from
        /// the same database.
        public let newest: Delivered?
        let request: Int
        let began: Duration
    }

    /// What came of an answer of the database.
    public enum ReconcileOutcome: Hashable, Sendable {
        /// The machine has taken it.
        case agreed
        /// The minimum that it was read above is false: it has to be read again, above this one.
        case readAgain(above: StreamID)
        /// The database has lost what was known: nothing was taken.
        case lost(String)
        /// The database is not as far as it was: nothing was taken.
        case wentBackwards(String)
    }

    /// IDs that the database is to be asked about.
    public struct GivenUpIDs: Hashable, Sendable {
        /// The scope that held them.
        public let scope: Int
        /// The IDs, none of which is finished.
        public let ids: [StreamID]
        /// Whether the database is asked about them for the first time.
        public let isFirst: Bool
        /// Whether they came after their fetch had ended, so that no scope waits for the answer.
        public let isLate: Bool
        /// The incarnation that handed them out.
        public let incarnation: Incarnation
    }
}

import DequeModule

/// What an instance makes of the commands about one stream whose rows it wants: each once, in the order of its writer.
///
/// The rows of a writer come with ascending tokens. They are handed on one update at a time, and whoever owns the feed
/// says when each is done, so that commands of the stream are handled in order; other streams have feeds of their own.
///
/// Invariants, for each writer:
///
/// - Everything at or below ``position(of:)`` was handed on and done, or was there before the feed began.
/// - What is not known to follow it without a gap is fetched before anything beyond it is handed on.
/// - Rows count only after a position of their writer came on the same connection: before it there may have been others.
/// - Memory is bounded. What does not fit is dropped, and fetched.
///
/// A step that fails is tried again, after a growing delay, by asking the database for what it was about.
public struct RowFeed: Sendable {
    /// Who is heard.
    public enum Hearing: Hashable, Sendable {
        /// The writers, in the epochs, that the source names. Others have it asked again, and change nothing.
        case members
        /// Everyone who speaks: for streams of other software. Of a name that the source names, the epochs that it
        /// names, as with members; of any other, the newest epoch, and beside it who speaks without one.
        ///
        /// Anyone may say anything. So what is heard counts until the source is asked the next time: a writer that is
        /// behind by its answer is set back.
        case everyone
    }

    /// Bounds.
    public struct Limits: Hashable, Sendable {
        /// Updates and positions that wait to be handed on, and roughly their bytes.
        public var queuedUpdates = 10_000
        public var queuedBytes = 8 << 20
        /// Roughly the bytes of rows that wait for the last of their batch.
        public var batchBytes = 8 << 20
        /// Updates in one step of a catch-up.
        public var fetchedUpdates = 500
        /// Writers that are known at the same time, beside those that the source names. For one more, one is forgotten
        /// that has not spoken lately.
        public var writers = 10_000

        public init() {}
    }

    /// What is to be done next. Nothing else is until it is done, or has failed.
    public enum Step: Hashable, Sendable {
        /// Ask the source where each writer is; then ``read(_:)``.
        case readPositions
        /// Ask the source for the updates of a writer above `after`, up to `through`, in order; then
        /// ``fetched(_:isComplete:)``.
        case fetch(Writer, after: StreamID, through: StreamID, limit: Int)
        /// Hand the update on; then ``handled()``.
        case handle(StreamUpdate)
    }

    struct HeardWriter {
        /// Everything up to here is done.
        var done: StreamID
        /// The highest token that waits in the queue; what was queued goes on without a gap up to here.
        var queued: StreamID
        var isOpen = false
        /// The highest token up to which there were rows, and not only a position.
        var rows: StreamID
        /// What was done when the source said last that the writer is not behind that.
        var agreed: StreamID
        /// Whether it spoke since somebody was last looked for who can be forgotten.
        var spokeLately = false

        init(done: StreamID) {
            self.done = done
            queued = done
            rows = done
            agreed = done
        }
    }

    enum Item {
        case update(StreamUpdate)
        case position(ReplicationPosition)

        var writer: Writer {
            switch self {
            case .update(let update): update.writer
            case .position(let position): position.writer
            }
        }
        var highest: StreamID {
            switch self {
            case .update(let update): update.token
            case .position(let position): max(position.previous, position.new)
            }
        }
        var size: Int {
            switch self {
            case .update(let update): update.size
            case .position: 128
            }
        }
    }

    let own: InstanceName
    let hearing: Hearing
    let limits: Limits
    public internal(set) var counts = FeedCounts()
    var writers: [Writer: HeardWriter] = [:]
    var epochs: [InstanceName: Int] = [:]
    /// The instances that the source has named last, where everyone is heard.
    var named: Set<InstanceName> = []
    /// Those that it does not name, the oldest first; some of them may be gone, or here twice.
    var unnamed = Deque<Writer>()
    var strangers = Strangers<Writer>()
    var batches: RowBatches
    var queue = Deque<Item>()
    var queuedBytes = 0
    var isConnected = false
    var hasToldCaughtUp = false

    // What it does; see RowFeed+Steps.swift.
    var work: Step?
    var needsPositions = true
    var hasPositions = false
    var isPaused = false
    var backoff = Backoff(shortest: .milliseconds(100), longest: .seconds(30))
    /// Up to where writers have to be asked for, in the order of `waitingCatchUps`.
    var catchUps: [Writer: StreamID] = [:]
    var waitingCatchUps = Deque<Writer>()
    var catchUp: CatchUp?
    /// Requests for positions are numbered; one answers all that were made before it began.
    var lastRequest = 0
    var askedRequest = 0

    /// A catch-up that goes on: fetched updates that are not handed on yet.
    struct CatchUp {
        let writer: Writer
        let through: StreamID
        var fetched = Deque<StreamUpdate>()
    }

    /// - Parameter own: what this instance itself sent under this name is ignored when it comes back.
    public init(own: InstanceName, hearing: Hearing, limits: Limits = Limits()) {
        self.own = own
        self.hearing = hearing
        self.limits = limits
        batches = RowBatches(limit: limits.batchBytes)
    }

    /// Up to where everything of the writer is done; nil when it is not known.
    public func position(of writer: Writer) -> StreamID? { writers[writer]?.done }

    /// The source is to be asked where the writers are: what was lost without anybody's noticing is found by that.
    public mutating func ask() { needsPositions = true }

    /// True once on each connection: the source was asked since it began, and nothing is left to do.
    public mutating func becameCaughtUp() -> Bool {
        let isIdle = work == nil && !isPaused && queue.isEmpty && catchUps.isEmpty && catchUp == nil
        guard isConnected, !hasToldCaughtUp, isIdle, !needsPositions, strangers.isEmpty else { return false }
        hasToldCaughtUp = true
        return true
    }
}

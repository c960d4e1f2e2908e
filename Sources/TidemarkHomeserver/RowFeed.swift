import DequeModule
public import TidemarkCore
public import TidemarkWire

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
        case position(HeardPosition)

        var writer: Writer {
            switch self {
            case .update(let update): update.writer
            case .position(let position): position.speaker.writer
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

extension RowFeed {
    /// What was sent before was not for this connection: the source has to be asked.
    public mutating func connected() {
        isConnected = true
        hasToldCaughtUp = false
        needsPositions = true
        lastRequest += 1
        for writer in writers.keys { writers[writer]?.isOpen = false }
        counts.discardedBatches += batches.removeAll()
    }

    public mutating func disconnected() {
        isConnected = false
    }

    public mutating func received(_ position: ReplicationPosition) { received(position.heard) }

    mutating func received(_ position: HeardPosition) {
        let writer = position.speaker.writer
        guard isHeard(writer, { $0.position = position }), var heard = writers[writer] else { return }
        heard.isOpen = true
        writers[writer] = heard
        let known = max(heard.done, heard.queued)
        guard max(position.previous, position.new) > known else {
            counts.oldNews += 1
            return
        }
        enqueue(.position(position))
    }

    public mutating func received(_ row: ReplicationRow) {
        let isHeard = isHeard(row.writer) { said in
            if case .id(let id) = row.token { said.highestRow = max(said.highestRow ?? id, id) }
        }
        guard isHeard, let heard = writers[row.writer] else { return }
        guard heard.isOpen else {
            counts.unopened += 1
            return
        }
        switch (batches.add(row), row.token) {
        case (.complete(let rows), .id(let id)):
            guard id > heard.done else {
                counts.oldNews += 1
                return
            }
            enqueue(.update(StreamUpdate(writer: row.writer, token: id, rows: rows)))
        case (.incompleteID, .id(let id)):
            counts.discardedBatches += 1
            want(row.writer, through: id)
        default:
            break
        }
    }

    private mutating func isHeard(_ writer: Writer, _ remember: (inout Strangers<Writer>.Said) -> Void) -> Bool {
        if writer.instance == own {
            counts.own += 1
            return false
        }
        if writers[writer] != nil {
            if hearing == .everyone { writers[writer]?.spokeLately = true }
            return true
        }
        if hasEpochs(writer), let epoch = epochs[writer.instance], epoch > writer.epoch {
            counts.outdated += 1
            return false
        }
        if hearing == .everyone, !named.contains(writer.instance) {
            welcome(writer)
            return true
        }
        lastRequest += 1
        if strangers.heard(writer, request: lastRequest, remember) {
            counts.strangers += 1
            needsPositions = true
        } else {
            counts.outdated += 1
        }
        return false
    }

    /// Whether its epoch stands for a place in an order. Of software that has no epochs nobody can say that it is
    /// outdated, whatever else is said under its name.
    private func hasEpochs(_ writer: Writer) -> Bool { hearing == .members || writer.epoch > 0 }

    private mutating func welcome(_ writer: Writer) {
        let isNewName = !hasEpochs(writer) || epochs[writer.instance] == nil
        if isNewName, writers.count >= limits.writers + named.count { forgetSomebody() }
        add(writer)
        if unnamed.count > 2 * limits.writers { removeGoneFromUnnamed() }
        unnamed.append(writer)
    }

    /// Forgets who has spoken least lately, as pages are chosen by "second chance": names that are said once make room for
    /// each other, and not for themselves the place of those who go on.
    private mutating func forgetSomebody() {
        while let writer = unnamed.popFirst() {
            guard let heard = writers[writer], !named.contains(writer.instance) else { continue }
            if heard.spokeLately {
                writers[writer]?.spokeLately = false
                unnamed.append(writer)
            } else {
                forget(writer)
                counts.forgottenWriters += 1
                return
            }
        }
    }

    private mutating func removeGoneFromUnnamed() {
        var found: Set<Writer> = []
        unnamed = unnamed.filter { writers[$0] != nil && found.insert($0).inserted }
    }

    /// A new epoch of a name goes on where the one before was.
    mutating func add(_ writer: Writer) {
        var added = HeardWriter(done: 0)
        if hasEpochs(writer) {
            if let epoch = epochs[writer.instance], let before = forget(Writer(writer.instance, epoch: epoch)) {
                added = HeardWriter(done: before.done)
                added.rows = before.rows
                added.agreed = before.agreed
            }
            epochs[writer.instance] = writer.epoch
        }
        writers[writer] = added
    }

    /// What still waits of it is dropped when its turn comes.
    @discardableResult
    mutating func forget(_ writer: Writer) -> HeardWriter? {
        if batches.remove(of: writer) { counts.discardedBatches += 1 }
        if epochs[writer.instance] == writer.epoch { epochs[writer.instance] = nil }
        catchUps[writer] = nil
        return writers.removeValue(forKey: writer)
    }

    private mutating func enqueue(_ item: Item) {
        queue.append(item)
        queuedBytes += item.size
        let highest = writers[item.writer]?.queued ?? 0
        writers[item.writer]?.queued = max(highest, item.highest)
        guard queue.count > limits.queuedUpdates || queuedBytes > limits.queuedBytes else { return }
        counts.overflows += 1
        counts.droppedFromQueue += queue.count
        for item in queue { want(item.writer, through: item.highest) }
        queue.removeAll()
        queuedBytes = 0
    }

    /// What the source has of this writer up to there is to be fetched.
    mutating func want(_ writer: Writer, through token: StreamID) {
        guard let heard = writers[writer], token > heard.done else { return }
        if let wanted = catchUps[writer] {
            catchUps[writer] = max(wanted, token)
        } else {
            catchUps[writer] = token
            waitingCatchUps.append(writer)
            // Writers that were forgotten are still in it.
            if waitingCatchUps.count > 2 * catchUps.count + 64 {
                var found: Set<Writer> = []
                waitingCatchUps = waitingCatchUps.filter { catchUps[$0] != nil && found.insert($0).inserted }
            }
        }
        // It will be fetched whole.
        if batches.discard(of: writer) { counts.discardedBatches += 1 }
    }
}

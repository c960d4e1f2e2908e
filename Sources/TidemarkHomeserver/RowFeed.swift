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
        /// Every sender: for streams of other software. Where the source names the sender's name, only the epochs that it
        /// names, as with members. Otherwise the newest epoch, and beside it a sender without an epoch.
        ///
        /// Anyone may say anything. So what is heard counts until the source is asked the next time: a writer that is
        /// behind by its answer is set back.
        case everyone
    }

    /// Bounds.
    public struct Limits: Hashable, Sendable {
        /// Updates and positions that wait to be handed on, and roughly their bytes.
        public var queuedUpdates = 10_000
        /// Roughly the bytes of what waits; 8 MiB by default.
        public var queuedBytes = 8 << 20
        /// Roughly the bytes of rows that wait for the last of their batch.
        public var batchBytes = 8 << 20
        /// Updates in one step of a catch-up.
        public var fetchedUpdates = 500
        /// Writers that are known at the same time, beside those that the source names. For one more, one is forgotten
        /// that has not spoken lately.
        public var writers = 10_000

        /// The defaults.
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

        func restarted(at position: StreamID) -> HeardWriter {
            var restarted = HeardWriter(done: position)
            restarted.isOpen = isOpen
            return restarted
        }
    }

    private let own: InstanceName
    private let hearing: Hearing
    private let limits: Limits
    /// How many lines were dropped and missed, and why.
    public private(set) var counts = FeedCounts()
    private(set) var writers: [Writer: HeardWriter] = [:]
    private var epochs: [InstanceName: Int] = [:]
    /// The instances that the source has named last, where everyone is heard.
    private var named: Set<InstanceName> = []
    /// Those that it does not name, the oldest first; some of them may be gone, or here twice.
    private(set) var unnamed = Deque<Writer>()
    private var strangers = Strangers<Writer>()
    private var batches: RowBatches
    private(set) var queue = Deque<Item>()
    private(set) var queuedBytes = 0
    private var isConnected = false
    private var hasToldCaughtUp = false

    private var work: Step?
    private var needsPositions = true
    private var hasPositions = false
    private var isPaused = false
    private var backoff = Backoff(shortest: .milliseconds(100), longest: .seconds(30))
    private var catchUps = CatchUps()
    /// Requests for positions are numbered; one answers all that were made before it began.
    private var lastRequest = 0
    private var askedRequest = 0

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
        let isIdle = work == nil && !isPaused && queue.isEmpty && catchUps.isEmpty
        guard isConnected, !hasToldCaughtUp, isIdle, !needsPositions, strangers.isEmpty else { return false }
        hasToldCaughtUp = true
        return true
    }

    // MARK: What is heard

    /// What was sent before was not for this connection: the source has to be asked.
    public mutating func connected() {
        isConnected = true
        hasToldCaughtUp = false
        needsPositions = true
        lastRequest += 1
        for writer in writers.keys { writers[writer]?.isOpen = false }
        counts.discardedBatches += batches.removeAll()
    }

    /// The connection is gone: the feed cannot catch up on it any more.
    public mutating func disconnected() {
        isConnected = false
    }

    /// Takes a position, if it is of a writer that is heard.
    public mutating func received(_ position: ReplicationPosition) { received(position.heard) }

    private mutating func received(_ position: HeardPosition) {
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

    /// Takes a row, if it is of a writer that is heard and has said where it is on this connection.
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
        if unnamed.count > 2 * limits.writers {
            var found: Set<Writer> = []
            unnamed = unnamed.filter { writers[$0] != nil && found.insert($0).inserted }
        }
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

    /// A new epoch of a name goes on where the one before was.
    private mutating func add(_ writer: Writer) {
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
    private mutating func forget(_ writer: Writer) -> HeardWriter? {
        if batches.remove(of: writer) { counts.discardedBatches += 1 }
        if epochs[writer.instance] == writer.epoch { epochs[writer.instance] = nil }
        catchUps.forgetWanted(of: writer)
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
    private mutating func want(_ writer: Writer, through token: StreamID) {
        guard let heard = writers[writer], token > heard.done else { return }
        catchUps.want(writer, through: token)
        // It will be fetched whole.
        if batches.discard(of: writer) { counts.discardedBatches += 1 }
    }

    // MARK: What is done

    /// What is to be done now; nil while something is being done, after a failure until ``resume()``, and when there is
    /// nothing.
    public mutating func next() -> Step? {
        guard work == nil, !isPaused else { return nil }
        work = chooseStep()
        return work
    }

    private mutating func chooseStep() -> Step? {
        if needsPositions {
            needsPositions = false
            askedRequest = lastRequest
            return .readPositions
        }
        while true {
            if let step = goOnCatchingUp() { return step }
            guard let item = queue.popFirst() else { return nil }
            queuedBytes -= item.size
            if let update = take(item) { return .handle(update) }
        }
    }

    /// What of a queued item is to be handed on; nil when that is nothing, or rows have to be fetched first.
    private mutating func take(_ item: Item) -> StreamUpdate? {
        // One that is not known any more went with its epoch.
        guard let heard = writers[item.writer] else { return nil }
        guard item.highest > heard.done else {
            counts.oldNews += 1
            return nil
        }
        switch item {
        case .update(let update):
            return update
        case .position(let position):
            guard position.previous <= heard.done else {
                counts.gaps += 1
                want(position.speaker.writer, through: item.highest)
                return nil
            }
            return StreamUpdate(writer: position.speaker.writer, token: position.new, rows: [])
        }
    }

    /// The next step of the catch-up that goes on, or of the next one that has something to fetch.
    private mutating func goOnCatchingUp() -> Step? {
        while let (writer, through) = catchUps.current() {
            if let done = writers[writer]?.done {
                if let update = catchUps.nextFetched(above: done) { return .handle(update) }
                if done < through {
                    return .fetch(writer, after: done, through: through, limit: limits.fetchedUpdates)
                }
                if catchUps.hasBegun { backoff.reset() }
            }
            catchUps.end()
        }
        return nil
    }

    // MARK: What became of a step

    /// Where each writer is, as the source says; where ``Hearing/members`` are heard, these are all of them.
    ///
    /// The first answer is where the feed begins; what later ones have beyond that was missed.
    public mutating func read(_ positions: [Writer: StreamID]) {
        precondition(work == .readPositions, "positions were not asked for")
        work = nil
        switch hearing {
        case .members:
            // One that is no member any more is forgotten, unless a newer epoch of its name goes on where it was.
            for writer in writers.keys where positions[writer] == nil {
                let isReplaced = positions.keys.contains { $0.instance == writer.instance && $0.epoch > writer.epoch }
                if !isReplaced { forget(writer) }
            }
        case .everyone:
            named = Set(positions.keys.map(\.instance))
        }
        for (writer, position) in positions where writer.instance != own {
            admit(writer, in: positions)
            guard let heard = writers[writer] else { continue }
            if !hasPositions {
                writers[writer] = heard.restarted(at: max(heard.done, position))
                writers[writer]?.queued = max(heard.queued, position)
                continue
            }
            if hearing == .everyone { compare(writer, heard, with: position) }
            want(writer, through: position)
        }
        hasPositions = true
        let found = strangers.answered(through: askedRequest) { writers[$0] != nil }
        for (writer, said) in found {
            if let position = said.position { received(position) }
            if let row = said.highestRow { want(writer, through: row) }
        }
    }

    /// Hears a writer that the source names, beside others of the same name that it names. A newer epoch of that name, which
    /// any sender may have made up, is not heard.
    private mutating func admit(_ writer: Writer, in positions: [Writer: StreamID]) {
        if writers[writer] != nil { return }
        if hearing == .everyone, writer.epoch > 0, let epoch = epochs[writer.instance] {
            let other = Writer(writer.instance, epoch: epoch)
            if positions[other] != nil {
                writers[writer] = HeardWriter(done: 0)
                epochs[writer.instance] = max(epoch, writer.epoch)
                return
            }
            if epoch > writer.epoch { forget(other) }
        }
        if (epochs[writer.instance] ?? -1) < writer.epoch || hearing == .everyone { add(writer) }
    }

    /// Sets a writer back that is behind what was heard of it: its stream began again, as one that is kept in memory does
    /// with its process; or somebody said what is not so. Everything that is not sure is fetched, so that a row may come
    /// twice, and none is left out. (A stream that began again and is further than before when the source is asked cannot
    /// be told from one that went on.)
    private mutating func compare(_ writer: Writer, _ heard: HeardWriter, with position: StreamID) {
        guard position < heard.done else {
            writers[writer]?.agreed = heard.done
            return
        }
        counts.setBack += 1
        // Beyond the last row there were only positions; before what was agreed on, it is another life of the stream.
        let sure = position >= heard.rows ? heard.rows : position >= heard.agreed ? heard.agreed : min(0, position)
        writers[writer] = heard.restarted(at: sure)
        catchUps.remove(writer)
        queue = queue.filter { $0.writer != writer }
        queuedBytes = queue.reduce(0) { $0 + $1.size }
    }

    /// The answer to ``Step/fetch(_:after:through:limit:)``.
    ///
    /// - Parameter isComplete: whether there is nothing more up to the token that was asked for.
    /// - Throws: ``InvalidStreamUpdates`` when it cannot be right; then the step is not done and ``failed(random:)`` is
    ///   to be called.
    public mutating func fetched(_ updates: [StreamUpdate], isComplete: Bool) throws(InvalidStreamUpdates) {
        guard case .fetch(let writer, let after, let through, _) = work else {
            preconditionFailure("nothing was asked for")
        }
        var last = after
        for update in updates {
            guard update.writer == writer, update.token > last, update.token <= through else {
                throw .unexpected(token: update.token, after: last, through: through)
            }
            last = update.token
        }
        guard isComplete || !updates.isEmpty else { throw .noProgress(after: after) }
        work = nil
        catchUps.fetched(updates)
        if isComplete, last < through { catchUps.fetched([StreamUpdate(writer: writer, token: through, rows: [])]) }
    }

    /// The update was handed on, and is done.
    public mutating func handled() {
        guard case .handle(let update) = work else { preconditionFailure("nothing was handed on") }
        work = nil
        backoff.reset()
        if let heard = writers[update.writer] {
            writers[update.writer]?.done = max(heard.done, update.token)
            if !update.rows.isEmpty { writers[update.writer]?.rows = max(heard.rows, update.token) }
        }
    }

    /// The step failed. What it was about is asked for again after the delay, which grows with each failure in a row;
    /// ``resume()`` is to be called then.
    ///
    /// - Parameter random: uniform in 0..<1.
    public mutating func failed(random: Double) -> Duration {
        switch work {
        case .readPositions: needsPositions = true
        case .handle(let update): want(update.writer, through: max(update.token, catchUps.through ?? update.token))
        case .fetch(let writer, _, let through, _): want(writer, through: through)
        case nil: preconditionFailure("nothing was being done")
        }
        catchUps.end()
        work = nil
        isPaused = true
        return backoff.nextDelay(random: random)
    }

    /// The delay after a failure is over.
    public mutating func resume() {
        isPaused = false
    }
}

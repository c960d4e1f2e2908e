/// Everything that one process knows of one stream, and decides about it: positions, IDs in flight and their scopes, what is
/// being abandoned, members and its own standing among them, what it has heard and must ask the database for, when to
/// announce, who has fallen silent, what a snapshot has confirmed.
///
/// What happens outside goes in by functions. What has to be done outside comes out as ``Directives``, which are taken
/// after each call, under the same lock; payloads are fetched only where a flag is set. There is no task, clock, lock or
/// database in here. Time is passed in: `now` is of a clock that goes on while the machine is suspended, `awake` of one
/// that stands still.
///
/// IDs are counted upwards; the owner of the machine negates those of a backward stream.
///
/// It cannot be copied: an instance has one.
public struct StreamMachine: ~Copyable, Sendable {
    /// How many messages may wait to be taken. Beyond that a position tells of rows, in place of one message for each.
    static let messageLimit = 4096

    let configuration: Configuration
    var tracker: PositionTracker
    var feed = EventFeed()
    var announcer: Announcer
    var membership: OwnMembership
    var abandonments = Abandonments()
    var reconciling: ReconcileSchedule
    var beats: HeartbeatSchedule
    private var watch: SilenceWatch?
    var decision: Decision?
    /// A decision is being carried out.
    var isClosing = false
    /// The members' signs of life, as they were read last.
    private var observations: [WriterObservation] = []
    /// The newest event that was read. It is looked up again later, to see that this still is the same database.
    private var newest: Delivered?
    /// The incarnation of the database that was seen last, and the one that hands out this instance's IDs.
    var seenIncarnation: Incarnation
    var ownIncarnation: Incarnation
    var messages: [StreamMessage] = []
    private var reports: [Report] = []
    private var falseNewsTold = FalseNewsTold()
    private var standstills = RareLog(interval: .seconds(60))
    private var hasToldForeign = false
    /// Nobody but this database's programs can be on the channel.
    private var channelIsOwn = false
    private var hasToldStrangeLines = false
    var lastScope = 0
    /// When the scopes are looked at next, because the earliest of them runs over its limit.
    var expiryAt: Duration?
    var pending: Directives = []
    private var marks: PositionTracker.Marks

    /// - Parameters:
    ///   - membership: the members as the database has them.
    ///   - writer: the epoch in which this instance has joined; nil where it only reads, or where the epoch of its name
    ///     among the members is its own.
    ///   - sequence: the sequence as it was read last, by which what is heard is bounded; nil where nobody reads it.
    ///   - fence: what the writer's groups have to name.
    public init(
        instance: InstanceName, membership: Membership, writer: Writer? = nil, sequence: StreamID?, fence: Int64 = 0,
        configuration: Configuration = Configuration()
    ) {
        self.configuration = configuration
        tracker = PositionTracker(
            instance: instance, members: membership.members, version: membership.version, nonces: membership.nonces,
            sequence: sequence, era: membership.eras.last)
        if let writer { tracker.pin(to: writer, nonce: membership.nonces[writer]) }
        announcer = Announcer(configuration.announcements, rowLimit: configuration.announcedRows)
        self.membership = OwnMembership(writer: writer, fence: fence)
        seenIncarnation = membership.incarnation
        ownIncarnation = membership.incarnation
        // Silence counts only where looks are not too far apart.
        let longest = configuration.closesSilentWriters ? configuration.silenceTimeout / 4 : .seconds(86_400)
        reconciling = ReconcileSchedule(
            interval: configuration.reconcileInterval.map { min($0, longest) },
            stallInterval: configuration.stallInterval)
        beats = HeartbeatSchedule(interval: configuration.heartbeatInterval)
        if configuration.closesSilentWriters {
            watch = SilenceWatch(timeout: configuration.silenceTimeout, retirement: configuration.retirementTimeout)
        }
        marks = tracker.marks()
        if let own = tracker.own {
            announcer.joined(as: Speaker(own, nonce: membership.nonces[own]), at: sequence ?? marks.position)
        }
    }

    // MARK: What comes out

    /// What is to be done since the last call.
    public mutating func takeDirectives() -> Directives {
        defer { pending = [] }
        return pending
    }

    /// The messages to send, in order. One thread at a time takes and sends them.
    public mutating func takeMessages() -> [StreamMessage] {
        defer { messages = [] }
        return messages
    }

    /// What people should know.
    public mutating func takeReports() -> [Report] {
        defer { reports = [] }
        return reports
    }

    /// Whether a change of positions needs the time. (Mutating getters: nothing is copied to the stack for the call.)
    public var followsChanges: Bool { mutating get { announcer.followsChanges } }

    /// Whether this instance may say anything on the channel, also one that only reads.
    public var maySpeak: Bool { announcer.maySpeak }

    /// When ``timePassed(now:)`` has something to do, if nothing happens before.
    public var nextDeadline: Duration? {
        mutating get {
            earlier(
                earlier(
                    earlier(expiryAt, announcer.dueAt), earlier(reconciling.nextDeadline, beats.nextAt)),
                abandonments.nextDeadline)
        }
    }

    /// Brings everything up to date after a change of positions.
    mutating func changed(now: Duration) {
        let before = marks
        marks = tracker.marks()
        guard marks != before else { return }
        if marks.watermark != before.watermark { pending.insert(.wake) }
        if announcer.followsChanges { lookAtAnnouncing(isAsked: false, now: now) }
    }

    private mutating func lookAtAnnouncing(isAsked: Bool, mayRead: Bool = true, now: Duration) {
        let outcome = announcer.look(at: &tracker, isAsked: isAsked, mayRead: mayRead, now: now)
        pending.insert(.timer)
        if let message = outcome.message {
            messages.append(message)
            pending.insert(.send)
        }
        if outcome.speaksAgain { report(.speaksAgain) }
        if outcome.readsSequence { pending.insert(.readSequence) }
    }

    mutating func report(_ report: Report) {
        reports.append(report)
        pending.insert(.report)
    }

    mutating func reportClosed(_ ids: [StreamID]) {
        guard let highest = ids.max() else { return }
        // Their commit may have come before, and not be acknowledged yet.
        announcer.leavesUntold(through: highest)
        report(.closed(ids))
    }

    // MARK: Time

    /// Does what is due.
    public mutating func timePassed(now: Duration) {
        pending.insert(.timer)
        if let expiryAt, expiryAt <= now { expire(now: now) }
        if let due = abandonments.nextDeadline, due <= now { pending.insert(.abandon) }
        if announcer.takeDue(now: now) { lookAtAnnouncing(isAsked: false, now: now) }
        if beats.takeDue(now: now) { pending.insert(.heartbeat) }
        if reconciling.takeSoon(now: now) {
            if feed.needsDatabase(minimum: tracker.minimum) {
                pending.insert(.catchUp)
            } else {
                lookWhetherCaughtUp()
            }
        }
        let look = reconciling.takeLook(minimum: tracker.minimum, known: tracker.highestKnown, now: now)
        if look.looks { pending.insert(.observe) }
        guard look.asks else { return }
        pending.insert(.reconcile)
        guard reconciling.standstill(now: now) > configuration.silenceTimeout, standstills.isDue(now: now) else {
            return
        }
        standstills.logged(now: now)
        pending.insert(.explain)
    }

    /// The log runs from now on: it writes heartbeats and asks the database regularly.
    public mutating func run(now: Duration) {
        if membership.isStopped { return }
        pending.insert(.timer)
        if membership.writer != nil { beats.run(now: now) }
        reconciling.run(now: now)
    }

    /// The log does not run any more.
    public mutating func stopRunning() {
        beats.stop()
        reconciling.stop()
    }

    // MARK: The connection, and what is heard

    /// A transport will be used.
    ///
    /// - Parameters:
    ///   - listensFirst: for how long a writer listens on a new connection before it speaks, because other software may be
    ///     there.
    ///   - belongsToDatabase: whether nobody but this database's programs can be there.
    public mutating func connecting(listensFirst: Duration, belongsToDatabase: Bool, now: Duration) {
        channelIsOwn = belongsToDatabase
        let listening = belongsToDatabase || configuration.speaksBesideOthers ? .zero : listensFirst
        announcer.connecting(listening: listening, quietTime: configuration.quietTime, now: now)
    }

    /// The shell can send from now on.
    public mutating func attached(now: Duration) {
        announcer.attached()
        begin(now: now)
        lookWhetherCaughtUp()
    }

    /// It cannot any more.
    public mutating func detached() {
        disconnected()
        announcer.detached()
    }

    /// A connection was made: what was sent before was not for it.
    public mutating func connected(now: Duration) {
        feed.connected()
        announcer.connected(now: now)
        begin(now: now)
        askSoon(now: now)
        if configuration.reconcileInterval == nil { lookWhetherCaughtUp() }
    }

    /// The connection is gone; the transport makes a new one by itself.
    public mutating func disconnected() {
        feed.disconnected()
        announcer.disconnected()
    }

    /// Another participant asks for everyone's position.
    public mutating func isAsked(now: Duration) {
        if case .asNeeded = configuration.announcements { lookAtAnnouncing(isAsked: true, now: now) }
    }

    /// It speaks on a new connection, or in a new epoch.
    mutating func begin(now: Duration) {
        let isAsked = if case .asNeeded = configuration.announcements { true } else { false }
        lookAtAnnouncing(isAsked: isAsked, now: now)
    }

    /// A position was heard. The sender's nonce is compared before anything else.
    public mutating func received(_ position: HeardPosition, now: Duration) {
        let standing = tracker.standing(of: position.speaker)
        if standing == .foreign { reportForeign(position.speaker) }
        hear(feed.received(position, from: standing), now: now)
    }

    /// The last row of an ID was heard.
    public mutating func received(_ row: HeardRow, now: Duration) {
        let standing = tracker.standing(of: row.speaker)
        if standing == .foreign { reportForeign(row.speaker) }
        hear(feed.received(row, from: standing), now: now)
    }

    private mutating func hear(_ action: EventFeed.Action, now: Duration) {
        carryOut(action)
        if feed.hasQuestions { askSoon(now: now) }
        changed(now: now)
    }

    private mutating func carryOut(_ action: EventFeed.Action) {
        switch action {
        case .nothing: break
        case .advance(let writer, let position): tracker.advance(writer, to: position)
        case .finish(let id, let writer): tracker.advance(writer, finished: id)
        }
    }

    /// A writer of another database is on the channel, or one that has not joined.
    private mutating func reportForeign(_ speaker: Speaker) {
        report(.foreign(speaker, isFirst: !hasToldForeign))
        hasToldForeign = true
    }

    /// A stream was announced without an epoch, this one or another. The sender is other software, and must not be disturbed.
    public mutating func heardOtherSoftware(_ stream: StreamName, _ writer: Writer, now: Duration) {
        feed.heardOtherSoftware()
        if configuration.speaksBesideOthers { return }
        if channelIsOwn {
            if !hasToldStrangeLines { report(.strangeLine(stream, writer)) }
            hasToldStrangeLines = true
        } else {
            if announcer.heardOtherSoftware(now: now) { report(.fellSilent(stream, writer)) }
            pending.insert(.timer)
        }
    }

    /// A position that the caller vouches for.
    public mutating func advance(_ writer: Writer, to position: StreamID, now: Duration) {
        tracker.advance(writer, to: position)
        changed(now: now)
    }

    /// IDs that are finished; the caller vouches for that.
    public mutating func hear(finished ids: [StreamID], now: Duration) {
        for id in ids { tracker.hear(finished: id) }
        changed(now: now)
    }

    // MARK: Agreeing with the database

    /// What this instance relies on, to be noted before a snapshot is opened.
    public mutating func note() -> Note { tracker.note() }

    /// A snapshot that was opened after the note has this sequence and membership version.
    ///
    /// - Returns: false where what was heard before the note was false, and was taken back; and where the note is of an
    ///   incarnation that is over, so that its minimum does not count any more.
    public mutating func agree(
        _ note: Note, sequence: StreamID, membershipVersion: Int, now: Duration
    ) -> Bool {
        defer { changed(now: now) }
        if let era = note.era, era != tracker.era { return false }
        guard let news = tracker.agree(note, sequence: sequence, membershipVersion: membershipVersion) else {
            return true
        }
        // Where no writer is named, it was taken back before, or the next snapshot shows whose it was.
        if !news.writers.isEmpty {
            report(.falseNews(news, isSaid: falseNewsTold.isDue(news.writers, now: now)))
            feed.takeBack(from: news.writers)
            askSoon(now: now)
        }
        return false
    }

    /// Compares a snapshot that was opened after the note with what is known here. To be called before the snapshot is taken,
    /// in the same step.
    ///
    /// - Returns: what the database has lost, for people; nil where it has lost nothing.
    public mutating func loss(since note: Note, in eras: [Era]) -> String? { tracker.loss(since: note, in: eras) }

    /// What one snapshot of the database says.
    public mutating func take(_ membership: Membership, newestCommitted: StreamID, now: Duration) {
        reportClosed(tracker.take(membership, newestCommitted: newestCommitted))
        changed(now: now)
    }

    /// The members with their durable positions, as the caller has read them. An older version changes nothing.
    public mutating func updateMembers(_ members: [Writer: StreamID], version: Int, now: Duration) {
        let own = tracker.own
        reportClosed(tracker.updateMembers(members, version: version))
        // Where this machine is not used to join, the members say which writer it is.
        if membership.writer == nil, tracker.own != own {
            if let own = tracker.own {
                announcer.joined(as: Speaker(own, nonce: tracker.nonces[own]), at: members[own] ?? 0)
            } else {
                announcer.left()
            }
        }
        changed(now: now)
    }

    /// The database is asked now.
    public mutating func beginReconcile(awake: Duration) -> Reconcile {
        let note = tracker.note()
        return Reconcile(
            note: note, minimum: note.watermark.minimum, newest: newest, request: feed.beginAsking(),
            began: awake)
    }

    /// The database has answered: nil where it has no such stream. The caller has checked that the newest event is still there.
    public mutating func reconciled(
        _ reconcile: Reconcile, _ found: Reconciliation?, above minimum: StreamID, now: Duration, awake: Duration
    ) -> ReconcileOutcome {
        let (known, version) = (reconcile.note.known, reconcile.note.watermark.membershipVersion)
        guard let found else {
            // A stream that nobody has written to yet.
            guard known == 0, version == 0 else { return .wentBackwards("there is no such stream") }
            reconcileEnded(reconcile, now: now)
            return .agreed
        }
        guard found.sequence >= known, found.membership.version >= version else {
            return .wentBackwards(
                "its sequence is at \(found.sequence), membership version \(found.membership.version)")
        }
        if let problem = loss(since: reconcile.note, in: found.membership.eras) { return .lost(problem) }
        // What was found false stays false, even where the sequence has passed it by the next reading.
        let isAgreed =
            minimum == reconcile.minimum
            && agree(reconcile.note, sequence: found.sequence, membershipVersion: found.membership.version, now: now)
        if !isAgreed, minimum != reconcile.note.confirmed { return .readAgain(above: reconcile.note.confirmed) }
        reportClosed(
            tracker.take(found.membership, newestCommitted: found.newestCommitted, finished: found.finished))
        tracker.hearAgain(reconcile.note)
        newest = found.newest ?? newest
        seenIncarnation = found.membership.incarnation
        reconcileEnded(reconcile, now: now)
        observations = found.observations
        if reconciling.isRunning {
            if tracker.hasLostMembership { pending.insert(.rejoin) }
            look(since: reconcile.began, awake: awake)
        }
        return .agreed
    }

    private mutating func reconcileEnded(_ reconcile: Reconcile, now: Duration) {
        reconciling.ended(succeeded: true)
        let members = tracker.speakers
        for action in feed.answered(reconcile.request, isMember: members.contains) { carryOut(action) }
        // Rows of a writer that was not a member yet may have been committed after the snapshot.
        if feed.hasQuestions { askSoon(now: now) }
        lookWhetherCaughtUp()
        changed(now: now)
    }

    /// The database could not be asked. The regular reconciling finds out when it is back.
    public mutating func reconcileFailed() { reconciling.ended(succeeded: false) }

    /// The sequence was read, or could not be.
    public mutating func sequenceWasRead(now: Duration) {
        announcer.sequenceWasRead()
        lookAtAnnouncing(isAsked: false, mayRead: false, now: now)
    }

    private mutating func askSoon(now: Duration) {
        reconciling.soon(now: now)
        pending.insert(.timer)
    }

    private mutating func lookWhetherCaughtUp() {
        if announcer.isAttached, feed.becameCaughtUp(minimum: tracker.minimum) { pending.insert(.caughtUp) }
    }

    // MARK: Heartbeats, and other writers

    /// What this writer promises now; nil where it only reads.
    public mutating func heartbeat(of stream: StreamName, now: Duration) -> Heartbeat? {
        guard let writer = membership.writer else { return nil }
        let lowest = tracker.lowestInFlight
        return Heartbeat(
            stream: stream, writer: writer, position: tracker.position ?? 0, inFlight: tracker.inFlightCount,
            lowestInFlight: lowest?.id,
            inFlightMilliseconds: lowest.map { Int64((now - $0.since) / .milliseconds(1)) } ?? 0)
    }

    /// What the database has said to a heartbeat.
    public mutating func heartbeatAnswered(_ answer: HeartbeatAnswer, for writer: Writer, now: Duration) {
        switch answer {
        case .alive(let newestCommitted, let durablePosition):
            tracker.recordKnown(newestCommitted)
            tracker.closed(writer, through: durablePosition)
            changed(now: now)
        case .retired, .taken:
            // Whether another process has the name, joining tells.
            if !membership.isStopped, membership.writer == writer { pending.insert(.rejoin) }
        }
    }

    /// The heartbeat that ``Directives/heartbeat`` asked for is over.
    public mutating func heartbeatEnded() { beats.ended() }

    /// This process wrote something between the two times, so everyone could write then.
    public mutating func wrote(from began: Duration, to ended: Duration) { watch?.wrote(from: began, to: ended) }

    /// A write of this process failed: perhaps nobody could write.
    public mutating func writeFailed(at now: Duration) { watch?.interrupted(at: now) }

    /// Decides which writers to close, by the signs of life that were read last, after `began`.
    public mutating func look(since began: Duration, awake: Duration) {
        guard watch != nil else { return }
        let found = watch?.look(
            at: observations, as: tracker.instance, positions: tracker.positions, minimum: tracker.minimum,
            newest: tracker.highestKnown, from: began, to: awake)
        guard let found, !isClosing, found != Decision() else { return }
        decision = found
        pending.insert(.closeWriters)
    }

    /// Which writers to close and to retire. The caller does that, and then calls ``closingEnded(canWrite:)``.
    public mutating func takeDecision() -> Decision? {
        guard let decision, !isClosing else { return nil }
        self.decision = nil
        isClosing = true
        return decision
    }

    /// The decision that ``takeDecision()`` gave was carried out.
    ///
    /// - Parameter canWrite: false where the store cannot write: then others have to close.
    public mutating func closingEnded(canWrite: Bool) {
        isClosing = false
        if !canWrite { watch = nil }
    }
}

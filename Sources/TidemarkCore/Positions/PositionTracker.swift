/// What one instance knows of the positions of a stream's writers: its own, which it decides, and the others', which
/// it hears of; and the minimum persisted position that follows.
///
/// Two things are tracked apart (rule 8): positions, which are promises of writers and say nothing about
/// the ID that they name, and IDs known to be finished.
///
/// Invariants:
///
/// - This instance's position never passes an ID of its own in flight, nor the floor of a fetch in progress.
/// - Positions of one epoch only rise. The minimum goes down only when newer members are loaded.
/// - Every ID at or below the minimum is finished, if the members are those of the database.
///
/// IDs are counted upwards here; the owner of the tracker negates those of a backward stream.
public struct PositionTracker: Sendable {
    /// The highest ID that is durably allocated, as this instance knows from the database: it committed, abandoned or
    /// read of it. What was allocated and is not finished does not count. Without a sequence, what was heard counts.
    public private(set) var known: StreamID
    /// The greatest ID such that it and all below it are finished, as far as is known here.
    public private(set) var minimum: StreamID
    /// The highest minimum that a snapshot has confirmed (rule 7): its membership version was still the one that the
    /// minimum was computed with, and its sequence had passed everything that was heard.
    public private(set) var confirmed: StreamID
    /// The newest sequence that was read from the database, up to which this instance promises what it only heard; nil
    /// where nobody reads it, and everything that is heard is taken as it is.
    public private(set) var sequence: StreamID?
    /// The highest ID that was only heard and that this instance promises: a sequence that was read had reached it. What
    /// was heard above every sequence may be false, and then the IDs below it need not be durable either.
    private var promisable: StreamID = 0

    /// The members, and what was heard of the others.
    private var members: Members
    private var hearsay = Hearsay()
    private var inFlight = InFlightIDs()
    private var floors = FetchFloors()
    private var finished: FinishedRanges
    /// This instance's position in its epoch, and never below what the database has; without a meaning when it only
    /// reads.
    private var ownPosition: StreamID
    /// The newest era that the database has told of; nil where it has none.
    public private(set) var era: Era?

    /// - Parameters:
    ///   - members: the writers that readers count, with their durable positions; for this instance what it knew on joining.
    ///   - nonces: what they drew when they joined.
    ///   - sequence: the sequence as it was read last; nil where it will never be read.
    public init(
        instance: InstanceName, members: [Writer: StreamID], version: Int, nonces: [Writer: Int64] = [:],
        sequence: StreamID? = nil, era: Era? = nil, maximumRanges: Int = 4096
    ) {
        let loaded = Members(instance: instance, members: members, version: version, nonces: nonces)
        self.members = loaded
        self.era = era
        self.sequence = sequence
        finished = FinishedRanges(maximumCount: maximumRanges)
        known = members.values.max() ?? 0
        minimum = members.values.min() ?? 0
        confirmed = 0
        ownPosition = loaded.own.flatMap { members[$0] } ?? 0
        hearsay.replaceMembers(loaded.others.all.map { ($0.writer, $0.position) })
        update()
    }

    /// The name of this instance.
    public var instance: InstanceName { members.instance }
    /// This instance as a member; nil when it only reads.
    public var own: Writer? { members.own }
    /// The version of the members that are loaded.
    public var membershipVersion: Int { members.version }
    /// What the members drew when they joined.
    public var nonces: [Writer: Int64] { members.nonces }
    /// When set, this instance is this writer and no other: another epoch of its name is another process.
    public var pinned: Writer? { members.pinned }

    /// How many writers readers count, this instance among them.
    public var memberCount: Int { members.count }
    /// The minimum, with the version of its members.
    public var watermark: Watermark { Watermark(minimum: minimum, membershipVersion: membershipVersion) }
    /// This instance's position; nil when it only reads.
    public var position: StreamID? { own == nil ? nil : ownPosition }

    /// Changes nothing. (It is mutating so that the owner of the tracker need not copy it for the call.)
    public mutating func marks() -> Marks {
        Marks(watermark: watermark, position: ownPosition, afterReading: afterReading)
    }

    /// One entry a member: this instance's position, the others' as heard.
    public var positions: [Writer: StreamID] {
        var positions = Dictionary(uniqueKeysWithValues: members.others.all.map { ($0.writer, $0.position) })
        if let own { positions[own] = ownPosition }
        return positions
    }

    /// At least the minimum; so for instances that are no members.
    public func position(of name: InstanceName) -> StreamID {
        max((own?.instance == name ? ownPosition : members.others.position(of: name)) ?? minimum, minimum)
    }

    /// The minimum, and each writer ahead of it.
    public var token: StreamToken {
        var ahead: [InstanceName: StreamID] = [:]
        for (writer, position) in members.others.all where position > minimum { ahead[writer.instance] = position }
        if let own, ownPosition > minimum { ahead[own.instance] = ownPosition }
        return StreamToken(minimum: minimum, ahead: ahead)
    }

    /// How many IDs of this instance are in flight.
    public var inFlightCount: Int { inFlight.count }
    /// The lowest of them; nil when none is.
    public var lowestInFlight: InFlightIDs.Entry? { inFlight.lowest }
    /// The highest ID heard of or read.
    public var highestKnown: StreamID { max(known, hearsay.highest, finished.highest ?? known) }

    /// What this instance promises; nil when it only reads.
    public var promise: Marks? {
        own == nil ? nil : Marks(watermark: watermark, position: ownPosition, afterReading: afterReading)
    }
    private var afterReading: StreamID {
        if sequence == nil || hearsay.highest <= known { return ownPosition }
        return max(ownPosition, reachable(from: hearsay.highest))
    }

    /// Whether the minimum of others, who have heard that this instance is at `announced`, would rise if they heard that it
    /// is at `position`: where it is, or where it could be.
    public func announcementNeed(announced: StreamID, position: StreamID? = nil) -> AnnouncementSchedule.Need {
        let position = position ?? ownPosition
        guard own != nil, position > announced else { return .none }
        let asHeard = finished.endOfRun(after: announced)
        var minimum = minimum
        if position > ownPosition {
            minimum = max(minimum, finished.endOfRun(after: members.others.least.map { min($0, position) } ?? position))
        }
        if asHeard < minimum { return .holdsBack }
        // At a gap: where a writer was lost, every idle one waits there for the others, and each has to begin. While
        // an ID is in flight there it changes nothing, which nobody but its writer can tell.
        return asHeard == minimum && finished.endOfRun(after: position) > minimum ? .mayHoldBack : .none
    }

    // MARK: What follows from a change

    /// Brings this instance's position and the minimum up to date. Called at the end of every change.
    private mutating func update() {
        if own != nil {
            if let sequence, hearsay.highest <= sequence { promisable = max(promisable, hearsay.highest) }
            // What the database has as durable was promised, whatever this instance knows by now.
            ownPosition = max(ownPosition, reachable(from: max(known, promisable)))
        }
        guard let least else {
            minimum = finished.endOfRun(after: minimum)
            return
        }
        minimum = max(minimum, finished.endOfRun(after: max(least, confirmed)))
        finished.removeRanges(endingBelow: least)
    }

    /// How far this instance could promise if it knew of this ID. (Inlined: a call would copy the tracker to the stack.)
    @inline(__always)
    private func reachable(from known: StreamID) -> StreamID {
        var reachable = known
        if let lowest = inFlight.lowestID { reachable = min(reachable, StreamID(lowest.rawValue - 1)) }
        if let floor = floors.lowest { reachable = min(reachable, floor) }
        return reachable
    }

    /// The least position over all members; nil when there are none. (Inlined for the same reason.)
    @inline(__always)
    private var least: StreamID? {
        guard own != nil else { return members.others.least }
        return members.others.least.map { min($0, ownPosition) } ?? ownPosition
    }

    // MARK: This instance's IDs

    /// Notes the floor: until the answer is in flight, or the fetch has ended otherwise, this instance's position
    /// stays at or below what is known now.
    public mutating func beginFetch() throws(AllocationFailure) -> Int {
        guard own != nil else { throw .notAMember }
        return floors.begin(at: floor)
    }

    /// What the sequence has to be above for the next ID: all that is known from the database, and what this instance has
    /// promised, which is never more than it has read of the sequence.
    public var floor: StreamID { max(known, ownPosition) }

    /// The answer: its IDs are in flight until they are finished.
    public mutating func endFetch(
        _ fetch: Int, with ids: some Collection<StreamID>, asked count: Int, scope: Int, since: Duration,
        deadline: Duration
    ) throws(AllocationFailure) {
        defer { update() }
        guard let floor = floors.end(fetch) else { throw .late }
        guard ids.count == count else { throw .wrongCount(asked: count, got: ids.count) }
        var previous = floor
        for id in ids {
            guard id > floor else { throw .wentBackwards(id: id, floor: floor) }
            guard id > previous else { throw .notAscending(id: id) }
            guard inFlight.phase(of: id) == nil else { throw .handedOutTwice(id: id) }
            previous = id
        }
        for id in ids { inFlight.insert(id, scope: scope, since: since, deadline: deadline) }
    }

    /// The fetch was a transaction that allocated IDs and committed them, or found that there was nothing to commit.
    public mutating func endFetch(_ fetch: Int, committed ids: [StreamID]) throws(AllocationFailure) {
        guard let floor = floors.end(fetch) else { throw .late }
        defer { update() }
        for id in ids {
            if id <= floor { throw .wentBackwards(id: id, floor: floor) }
            known = max(known, id)
            if id > minimum { finished.insert(id...id) }
        }
    }

    /// The fetch failed, or its answer is not waited for any more. An ID that comes later must not be used.
    public mutating func abortFetch(_ fetch: Int) {
        _ = floors.end(fetch)
        update()
    }

    /// The ID is committed, or a tombstone holds it. False when it was not in flight.
    ///
    /// - Parameter ifHeld: whether it changes nothing, and is false, where the ID's scope does not hold it any more.
    @discardableResult
    public mutating func finish(_ id: StreamID, ifHeld: Bool = false) -> Bool {
        defer { update() }
        let wasInFlight = withPassed { inFlight, passed in inFlight.finish(id, ifHeld: ifHeld, passed: passed) }
        if wasInFlight { known = max(known, id) }
        return wasInFlight
    }

    /// The ID is void: the database has started again since it was handed out, and holds no row of it. Nothing of this
    /// instance will appear under it; but the sequence may hand it out once more, to anybody, so it is neither known
    /// nor finished. False when it was not in flight.
    @discardableResult
    public mutating func discard(_ id: StreamID) -> Bool {
        defer { update() }
        return discardOwn(id)
    }

    /// Another incarnation has begun: no ID that this instance was given before it joined there counts any more, and no
    /// answer to a fetch that has begun before. Returns the IDs.
    public mutating func forgetInFlight() -> [StreamID] {
        defer { update() }
        let ids = inFlight.inFlight.map(\.id)
        inFlight = InFlightIDs()
        floors.endAll()
        return ids
    }

    /// The scope does not hold the ID any more: it stays in flight until it is finished. False when it was not held.
    public mutating func giveUp(_ id: StreamID, scope: Int) -> Bool { inFlight.giveUp(id, scope: scope) }

    /// How far an ID of this instance has come; nil where it is not here.
    public func phase(of id: StreamID) -> InFlightIDs.Phase? { inFlight.phase(of: id) }
    /// IDs whose scopes have run over their limit by `now`, by scope.
    public func expired(at now: Duration) -> [Int: [StreamID]] { inFlight.expired(at: now) }
    /// When the next scope runs over its limit; nil when none can.
    public var earliestDeadline: Duration? { inFlight.earliestDeadline }

    private mutating func discardOwn(_ id: StreamID) -> Bool {
        withPassed { inFlight, passed in inFlight.discard(id, passed: passed) }
    }

    /// Takes IDs that have nothing of this instance in flight below them into the finished ones: others may wait for them.
    private mutating func withPassed(_ body: (inout InFlightIDs, (StreamID) -> Void) -> Bool) -> Bool {
        var runs = AscendingRuns()
        let result = body(&inFlight) { runs.append($0) }
        finished.insert(runs)
        return result
    }

    // MARK: What is heard and read

    /// A position was heard. Nothing happens when this epoch is no member, or is this instance itself.
    ///
    /// Positions are promised up to what is durably allocated: where that is true, what is heard may be promised.
    public mutating func advance(_ writer: Writer, to position: StreamID) {
        guard let member = members.others.number(of: writer), hears(position, of: member) else { return }
        guard members.others.raise(member, to: position) else { return }
        update()
    }

    /// The ID of this writer is finished: its row, an event or a tombstone, was heard of. Nothing happens when this
    /// epoch is no member, or is this instance itself.
    public mutating func advance(_ writer: Writer, finished id: StreamID) {
        guard let member = members.others.number(of: writer), hears(id, of: member) else { return }
        if id > minimum { finished.insert(id...id) }
        update()
    }

    /// The same for an ID of any writer: the caller vouches for it.
    public mutating func hear(finished id: StreamID) {
        if sequence == nil {
            known = max(known, id)
        } else {
            hearsay.hear(id)
        }
        if id > minimum { finished.insert(id...id) }
        update()
    }

    private mutating func hears(_ id: StreamID, of member: Int) -> Bool {
        guard sequence == nil else { return hearsay.hear(id, of: member) }
        known = max(known, id)
        return true
    }

    /// These IDs are finished: their rows, events or tombstones, were read from the database.
    public mutating func recordFinished(_ range: ClosedRange<StreamID>) {
        known = max(known, range.upperBound)
        if range.upperBound > minimum { finished.insert(range) }
        update()
    }

    /// Something at this ID is committed: it is known from now on.
    public mutating func recordKnown(_ id: StreamID) {
        guard id > known else { return }
        known = id
        update()
    }

    /// Takes the members as the database has them. Older ones change nothing; the same version only raises positions.
    ///
    /// With a newer version the minimum follows the members, down too: a writer of a new epoch is at exactly its
    /// durable position; one of the same epoch keeps the higher one that was heard. IDs of this instance at or below
    /// its own new durable position are in flight no more: the database refuses them from now on.
    ///
    /// - Returns: the IDs of this instance that were closed.
    @discardableResult
    public mutating func updateMembers(
        _ members: [Writer: StreamID], version: Int, nonces: [Writer: Int64] = [:]
    ) -> [StreamID] {
        guard version >= membershipVersion else { return [] }
        known = max(known, members.values.max() ?? known)
        let before = own
        if let same = self.members.take(members, version: version, nonces: nonces) {
            // What is known of members that stay is kept; of a writer with another nonce nothing is.
            hearsay.replaceMembers(self.members.others.all.filter { same.contains($0.writer) }.map { ($0.writer, 0) })
            hearsay.replaceMembers(self.members.others.all.map { ($0.writer, members[$0.writer] ?? 0) })
            if let own, let durable = members[own] { ownPosition = own == before ? max(ownPosition, durable) : durable }
            if let least { minimum = finished.endOfRun(after: max(least, confirmed)) }
        }
        for (writer, position) in members {
            guard let member = self.members.others.number(of: writer) else { continue }
            _ = self.members.others.raise(member, to: position)
            hearsay.read(position, of: member)
        }
        var closed: [StreamID] = []
        if let own, let durable = members[own] { closed = endInFlight(through: durable) }
        update()
        return closed
    }

    /// What one snapshot of the database says: its members, the newest committed ID, and IDs that are finished.
    ///
    /// - Returns: the IDs of this instance that were closed.
    @discardableResult
    public mutating func take(
        _ membership: Membership, newestCommitted: StreamID, finished: [ClosedRange<StreamID>] = []
    ) -> [StreamID] {
        // An answer from an incarnation that is over says nothing about this one.
        if let era, !membership.eras.isEmpty, !membership.eras.contains(era) { return [] }
        var closed = sees(membership.eras)
        closed += updateMembers(membership.members, version: membership.version, nonces: membership.nonces)
        for range in finished { recordFinished(range) }
        recordKnown(newestCommitted)
        // Without members nobody can commit, and a writer that joins later begins above: the snapshot holds all there is.
        if membership.members.isEmpty, newestCommitted > minimum, membership.version == membershipVersion {
            recordFinished(StreamID(minimum.rawValue + 1)...newestCommitted)
        }
        return closed
    }

    /// From now on this instance is this writer: another epoch of its name in the members is another process.
    public mutating func pin(to writer: Writer, nonce: Int64? = nil) {
        let durable = members.others.number(of: writer).map(hearsay.durable)
        guard members.pin(to: writer, nonce: nonce), let durable else { return }
        // Not what was heard of it: this instance has not spoken as this writer yet.
        ownPosition = durable
        hearsay.replaceMembers(members.others.all.map { ($0.writer, 0) })
        update()
    }

    /// Whether this instance was a member, and the newest members do not have it: it was retired, or its name taken.
    public var hasLostMembership: Bool { own == nil && pinned != nil }
    /// What the speaker is, by the members that the database gave last. The nonce counts before anything else.
    public func standing(of speaker: Speaker) -> EventFeed.Standing { members.standing(of: speaker) }
    /// The members, as they name themselves on the wire.
    public var speakers: Set<Speaker> { members.speakers }
    /// The epoch in which the instance is a member.
    public func epoch(of instance: InstanceName) -> Int? { members.epoch(of: instance) }

    /// The durable position of this instance, as the database answered: somebody may have raised it.
    public mutating func closed(_ writer: Writer, through durable: StreamID) {
        guard writer == own else { return }
        known = max(known, durable)
        _ = endInFlight(through: durable)
        update()
    }

    private mutating func endInFlight(through durable: StreamID) -> [StreamID] {
        let closed = inFlight.idsInFlight(through: durable)
        // Nothing of this instance will appear under them, and its position says so. They are not finished for anybody
        // else: where the database has started again since, another writer may hold the same ID by now.
        for id in closed { _ = discardOwn(id) }
        ownPosition = max(ownPosition, durable)
        return closed
    }

    // MARK: Agreeing with the database

    /// What an instance relies on, noted before a snapshot is opened, and compared with it afterwards.
    public struct Note: Hashable, Sendable {
        /// The minimum then, with the version of its members.
        public let watermark: Watermark
        /// The highest ID that is known from the database.
        public let known: StreamID
        /// The highest ID that was only heard.
        public let heard: StreamID
        /// The highest minimum that a snapshot has confirmed.
        public let confirmed: StreamID
        /// The newest era that was known.
        public let era: Era?
        /// The last message that was heard.
        fileprivate let message: Int
    }

    /// What the database has lost of what is known and confirmed, for people; nil where it has lost nothing.
    ///
    /// What was read since the note counts too: where the snapshot has the era that was seen last, it is not from before that, and
    /// what is known is of that era or of earlier ones.
    ///
    /// - Parameter eras: the newest ones of a snapshot that was opened after the note.
    public mutating func loss(since note: Note, in eras: [Era]) -> String? {
        if let problem = Era.loss(through: max(note.known, note.confirmed), seen: note.era, in: eras) { return problem }
        guard let era, eras.contains(era) else { return nil }
        return Era.loss(through: max(known, confirmed), seen: era, in: eras)
    }

    /// Changes nothing, as ``marks()``.
    public mutating func note() -> Note {
        Note(
            watermark: watermark, known: known, heard: hearsay.highest, confirmed: confirmed, era: era,
            message: hearsay.lastMessage)
    }

    /// A snapshot that was opened after the note has this sequence and this membership version.
    ///
    /// Where something that was heard before it is above its sequence, everything that follows from it is taken back: the
    /// sender is put back to its durable position, and is not heard until ``hearAgain(_:)``. The minimum then is what the
    /// database says, and never below what a snapshot has confirmed.
    ///
    /// - Returns: what was false; nil where nothing was. Then the minimum of the note is confirmed, if the version is its.
    public mutating func agree(_ note: Note, sequence read: StreamID, membershipVersion version: Int) -> FalseNews? {
        if let before = sequence { sequence = max(before, read) }
        guard note.heard > read else {
            if version == note.watermark.membershipVersion { confirmed = max(confirmed, note.watermark.minimum) }
            promisable = max(promisable, note.heard)
            update()
            return nil
        }
        let found = hearsay.takeBack(above: read, heardBy: note.message)
        for (member, _, durable) in found { members.others.lower(member, to: durable) }
        finished.removeRanges(above: max(read, known))
        minimum = confirmed
        update()
        return FalseNews(heard: note.heard, sequence: read, writers: found.map(\.writer))
    }

    /// Everything was read from the database in a snapshot that was opened after the note: writers that had said something
    /// false before that are heard again.
    public mutating func hearAgain(_ note: Note) {
        hearsay.hearAgain(mutedBy: note.message)
        update()
    }

    /// Takes the newest eras of a snapshot. Where another era has begun every epoch is over, and IDs in flight are void, or were
    /// committed. What was heard, promised or read of the sequence above its beginning is taken back: it was of the life before.
    ///
    /// - Returns: the IDs of this instance that were in flight.
    private mutating func sees(_ eras: [Era]) -> [StreamID] {
        guard let newest = eras.last, newest != era else { return [] }
        guard let seen = era else {
            era = newest
            return []
        }
        // An answer that is older than what is known by now. Where it shows a loss, the caller has reported that.
        guard let place = eras.firstIndex(of: seen), place + 1 < eras.endIndex else { return [] }
        era = newest
        let begin = eras[place + 1].after
        for (member, _, durable) in hearsay.takeBack(above: begin, heardBy: hearsay.lastMessage) {
            members.others.lower(member, to: durable)
        }
        finished.removeRanges(above: max(begin, known))
        promisable = min(promisable, begin)
        ownPosition = min(ownPosition, begin)
        sequence = sequence.map { min($0, begin) }
        minimum = max(min(minimum, begin), confirmed)
        return forgetInFlight()
    }
}

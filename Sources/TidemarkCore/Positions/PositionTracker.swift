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
/// IDs are counted upwards here; a backward stream is negated by whoever owns the tracker.
public struct PositionTracker: Sendable {
    public let instance: InstanceName
    /// This instance as a member; nil when it only reads.
    public internal(set) var own: Writer?
    public internal(set) var membershipVersion: Int
    /// The highest ID that is durably allocated, as this instance knows from the database: it committed, abandoned or
    /// read of it. An ID that was allocated and is not finished does not count. (Of who gives no sequence to be bounded
    /// by, what was heard is known too.)
    public internal(set) var known: StreamID
    public internal(set) var minimum: StreamID
    /// The highest minimum that a snapshot has confirmed (rule 7): its membership version was still the one that the
    /// minimum was computed with, and its sequence had passed everything that was heard.
    public internal(set) var confirmed: StreamID
    /// The newest sequence that was read from the database, up to which this instance promises what it only heard; nil
    /// where nobody reads it, and everything that is heard is taken as it is.
    public internal(set) var sequence: StreamID?
    /// The highest ID that was only heard and that this instance promises: a sequence that was read had reached it. What
    /// was heard above every sequence may be false, and then the IDs below it need not be durable either.
    var promisable: StreamID = 0

    var others: PositionHeap
    var hearsay = Hearsay()
    var inFlight = InFlightIDs()
    var floors = FetchFloors()
    var finished: FinishedRanges
    /// This instance's position in its epoch, and never below what the database has; without a meaning when it only
    /// reads.
    var ownPosition: StreamID
    /// What the members drew when they joined.
    public internal(set) var nonces: [Writer: Int64]
    /// When set, this instance is this writer and no other: another epoch of its name is another process.
    public internal(set) var pinned: Writer?

    /// - Parameter members: the writers that readers count with their durable positions; for this instance it is the
    ///   newest ID of the sequence that it knew when it joined.
    /// - Parameter nonces: what they drew when they joined.
    /// - Parameter sequence: the sequence as it was read last; nil where it will never be read.
    public init(
        instance: InstanceName, members: [Writer: StreamID], version: Int, nonces: [Writer: Int64] = [:],
        sequence: StreamID? = nil, maximumRanges: Int = 4096
    ) {
        self.nonces = nonces
        self.instance = instance
        self.sequence = sequence
        membershipVersion = version
        own = members.keys.first { $0.instance == instance }
        others = PositionHeap(members.filter { $0.key.instance != instance })
        finished = FinishedRanges(maximumCount: maximumRanges)
        known = members.values.max() ?? 0
        minimum = members.values.min() ?? 0
        confirmed = 0
        ownPosition = own.flatMap { members[$0] } ?? 0
        hearsay.replaceMembers(others.all.map { ($0.writer, $0.position) })
        update()
    }

    public var hasMembers: Bool { own != nil || !others.isEmpty }
    public var memberCount: Int { others.count + (own == nil ? 0 : 1) }
    public var watermark: Watermark { Watermark(minimum: minimum, membershipVersion: membershipVersion) }

    /// This instance's position; nil when it only reads.
    public var position: StreamID? { own == nil ? nil : ownPosition }

    /// What others want to hear of when it changes.
    public struct Marks: Hashable, Sendable {
        public let watermark: Watermark
        public let position: StreamID
        /// Where it could be at once the sequence was read.
        public let afterReading: StreamID
    }

    /// Changes nothing. (It is mutating so that whoever owns the tracker need not have it copied for the call.)
    public mutating func marks() -> Marks {
        Marks(watermark: watermark, position: ownPosition, afterReading: afterReading)
    }

    /// One entry a member: this instance's position, the others' as heard.
    public var positions: [Writer: StreamID] {
        var positions = Dictionary(uniqueKeysWithValues: others.all.map { ($0.writer, $0.position) })
        if let own { positions[own] = ownPosition }
        return positions
    }

    /// At least the minimum; so for instances that are no members.
    public func position(of name: InstanceName) -> StreamID {
        if let own, own.instance == name { return max(ownPosition, minimum) }
        return max(others.position(of: name) ?? minimum, minimum)
    }

    public var token: StreamToken {
        var ahead: [InstanceName: StreamID] = [:]
        for (writer, position) in others.all where position > minimum { ahead[writer.instance] = position }
        if let own, ownPosition > minimum { ahead[own.instance] = ownPosition }
        return StreamToken(minimum: minimum, ahead: ahead)
    }

    /// How many IDs of this instance are in flight, and the lowest of them.
    public var inFlightCount: Int { inFlight.count }
    public var lowestInFlight: InFlightIDs.Entry? { inFlight.lowest }

    /// The highest ID heard of or read, finished or not passed by the minimum yet.
    public var highestKnown: StreamID { max(known, hearsay.highest, finished.highest ?? known) }

    /// The highest ID that was only heard.
    public var heard: StreamID { hearsay.highest }

    /// What this instance promises, and what it could promise if it read the sequence now.
    public struct Promise: Hashable, Sendable {
        public let position: StreamID
        /// Above the position where something was heard that the sequence, as it was read last, has not passed.
        public let afterReading: StreamID
    }

    /// Nil when this instance only reads.
    public var promise: Promise? {
        own == nil ? nil : Promise(position: ownPosition, afterReading: afterReading)
    }

    private var afterReading: StreamID {
        if sequence == nil || hearsay.highest <= known { return ownPosition }
        return max(ownPosition, reachable(from: hearsay.highest))
    }

    /// What it would do for the minimum of others, who have heard that this instance is at `announced`, to hear that it
    /// is at `position`: where it is, or where it could be.
    public func announcementNeed(
        announced: StreamID, position: StreamID? = nil
    ) -> AnnouncementSchedule.Need {
        let position = position ?? ownPosition
        guard own != nil, position > announced else { return .none }
        let asHeard = finished.endOfRun(after: announced)
        var minimum = minimum
        if position > ownPosition {
            minimum = max(minimum, finished.endOfRun(after: others.least.map { min($0, position) } ?? position))
        }
        if asHeard < minimum { return .holdsBack }
        // At a gap: where a writer was lost, every idle one waits there for the others, and each has to begin. While
        // an ID is in flight there it changes nothing, which nobody but its writer can tell.
        return asHeard == minimum && finished.endOfRun(after: position) > minimum ? .mayHoldBack : .none
    }

    // MARK: What follows from a change

    /// Brings this instance's position and the minimum up to date. Called at the end of every change.
    mutating func update() {
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

    /// How far this instance could promise if it knew of this ID.
    private func reachable(from known: StreamID) -> StreamID {
        var reachable = known
        if let lowest = inFlight.lowestID { reachable = min(reachable, StreamID(lowest.rawValue - 1)) }
        if let floor = floors.lowest { reachable = min(reachable, floor) }
        return reachable
    }

    /// The least position over all members; nil when there are none.
    var least: StreamID? {
        guard own != nil else { return others.least }
        return others.least.map { min($0, ownPosition) } ?? ownPosition
    }
}

/// The writers that readers count, as one snapshot of the database says.
public struct Membership: Hashable, Sendable {
    /// The members with their durable positions.
    public var members: [Writer: StreamID]
    /// What each member drew when it joined, by which it is known on the wire; empty where the database keeps none.
    public var nonces: [Writer: Int64]
    /// Raised by each join, leave and retirement, in the same transaction.
    public var version: Int
    /// The incarnation of the database that says so.
    public var incarnation: Incarnation
    /// The newest eras of the stream, ascending; empty where the store has none. More than ``mostEras`` need not be there: the
    /// caller has seen one of them before.
    public var eras: [Era]

    /// How many of the eras a store gives. So many crashes between two looks are taken for a loss.
    public static let mostEras = 64

    /// Without nonces nobody is heard by one: tests, and stores that keep none.
    public init(
        members: [Writer: StreamID], version: Int, nonces: [Writer: Int64] = [:],
        incarnation: Incarnation = Incarnation(1), eras: [Era] = []
    ) {
        self.eras = eras
        self.members = members
        self.nonces = nonces
        self.version = version
        self.incarnation = incarnation
    }
}

/// What an instance got when it joined.
public struct Joined: Hashable, Sendable {
    /// The name with its new epoch.
    public let writer: Writer
    /// The members with this one among them.
    public let membership: Membership
    /// The highest ID that is durably allocated: what the new member knows, and its durable position.
    public let position: StreamID
    /// Where the sequence was when it was behind the highest row or durable position, so that joining moved it up to
    /// `position`; nil where nothing was wrong with it.
    public let raisedFrom: StreamID?
    /// What the writer drew when it joined, by which it is known on the wire; nil where the store keeps none.
    public var nonce: Int64? { membership.nonces[writer] }
    /// What the writer's groups have to name (rule 5).
    public let fence: Int64

    /// For stores, from the transaction that made it a member.
    public init(
        writer: Writer, membership: Membership, position: StreamID, raisedFrom: StreamID? = nil, fence: Int64 = 0
    ) {
        self.fence = fence
        self.writer = writer
        self.membership = membership
        self.position = position
        self.raisedFrom = raisedFrom
    }
}

/// A promise for the database, and a sign of life.
public struct Heartbeat: Hashable, Sendable {
    /// The stream that the promise is about.
    public let stream: StreamName
    /// The epoch that promises.
    public let writer: Writer
    /// What the writer promised before this write began.
    public let position: StreamID
    /// For `status`: how many IDs are in flight, the lowest of them, and for how many milliseconds.
    public let inFlight: Int
    /// The lowest ID in flight; nil when none is.
    public let lowestInFlight: StreamID?
    /// For how many milliseconds it has been; 0 when none is.
    public let inFlightMilliseconds: Int64

    /// The position has to be taken before the write begins: a later one may cover what is fetched meanwhile.
    public init(
        stream: StreamName, writer: Writer, position: StreamID, inFlight: Int = 0, lowestInFlight: StreamID? = nil,
        inFlightMilliseconds: Int64 = 0
    ) {
        self.stream = stream
        self.writer = writer
        self.position = position
        self.inFlight = inFlight
        self.lowestInFlight = lowestInFlight
        self.inFlightMilliseconds = inFlightMilliseconds
    }
}

/// What the database says to a heartbeat.
public enum HeartbeatAnswer: Hashable, Sendable {
    /// Written. The newest committed ID is known from now on; the writer's durable position may be above what it
    /// promised, when it was closed.
    case alive(newestCommitted: StreamID, durablePosition: StreamID)
    /// The writer was retired and nobody has taken its name.
    case retired
    /// Another process joined under the name.
    case taken(by: Writer)
}

/// What one look at the database showed of a member: its signs of life, and how far its promise goes.
public struct WriterObservation: Hashable, Sendable {
    /// The member, with its epoch.
    public let writer: Writer
    /// Counts up with each sign of life; nothing is said by how high it is.
    public let heartbeat: Int
    /// The durable position.
    public let position: StreamID
    /// Whether the operating system says that the writer's process is gone. False where it cannot tell.
    public let isProcessGone: Bool
    /// When this was read, on the clock of the store that read it, which stands still while the machine is suspended.
    public let readAt: Duration

    /// For stores, from one snapshot.
    public init(
        writer: Writer, heartbeat: Int, position: StreamID, isProcessGone: Bool = false, readAt: Duration = .zero
    ) {
        self.writer = writer
        self.heartbeat = heartbeat
        self.position = position
        self.isProcessGone = isProcessGone
        self.readAt = readAt
    }
}

/// The state of a stream in one snapshot, without its events.
public struct Reconciliation: Hashable, Sendable {
    /// The members with their durable positions.
    public let membership: Membership
    /// The newest ID of the sequence.
    public let sequence: StreamID
    /// The highest ID with a row, an event or a tombstone.
    public let newestCommitted: StreamID
    /// The IDs with a row above the minimum asked for, as ranges, ascending; at most as many IDs as the limit allowed.
    public let finished: [ClosedRange<StreamID>]
    /// The members' signs of life.
    public let observations: [WriterObservation]
    /// The newest event, which will be looked up again to see whether this still is the same database; nil when there
    /// is none.
    public let newest: Delivered?

    /// For stores, from one snapshot.
    public init(
        membership: Membership, sequence: StreamID, newestCommitted: StreamID, finished: [ClosedRange<StreamID>],
        observations: [WriterObservation], newest: Delivered? = nil
    ) {
        self.newest = newest
        self.membership = membership
        self.sequence = sequence
        self.newestCommitted = newestCommitted
        self.finished = finished
        self.observations = observations
    }
}

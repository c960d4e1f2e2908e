/// What a background reader asks of a snapshot.
public struct SnapshotRequest: Hashable, Sendable {
    /// The last event that was passed, looked up again; nil when there is none.
    public var delivered: Delivered?
    /// The claim of the consumer that reads: where it is the newest no more, the snapshot has no events. Nil for a
    /// reader that keeps no place.
    public var claim: ClaimMark?
    /// The version that the watermark was computed with; where the snapshot has another, it has no events.
    public var membershipVersion: Int
    /// Events after this ID and up to `through`.
    public var after: StreamID
    /// The last ID that may be read: at most the watermark's minimum.
    public var through: StreamID
    /// At most so many events; 0 where nothing but the rest of the snapshot is asked for.
    public var limit: Int
    /// No further event is read once so many bytes of payload are in.
    public var byteLimit: Int
    /// Which of them: the snapshot has no others, and says how far it has looked.
    public var filter: EventFilter
    /// Nothing above this ID is looked at, also where there are no members: a filter that lets little pass would keep a
    /// snapshot open for long.
    public var furthest: StreamID

    /// For a request with events `limit` and `byteLimit` are above 0.
    public init(
        delivered: Delivered?, claim: ClaimMark? = nil, membershipVersion: Int, after: StreamID, through: StreamID,
        limit: Int, byteLimit: Int, filter: EventFilter = .all, furthest: StreamID = StreamID(.max)
    ) {
        self.filter = filter
        self.furthest = furthest
        self.delivered = delivered
        self.claim = claim
        self.membershipVersion = membershipVersion
        self.after = after
        self.through = through
        self.limit = limit
        self.byteLimit = byteLimit
    }
}

/// Which claim of which consumer it is.
public struct ClaimMark: Hashable, Sendable {
    /// The consumer's name.
    public let consumer: ConsumerName
    /// Which of its claims.
    public let generation: Int

    /// Names the claim under which a reader reads.
    public init(consumer: ConsumerName, generation: Int) {
        self.consumer = consumer
        self.generation = generation
    }
}

/// An event that a reader has passed, or a writer has committed. It is looked up again later: if it is not what it was, the
/// database was put back.
///
/// Marks have random parts, so that a database that was put back does not give the same ones.
public struct Delivered: Hashable, Sendable {
    /// The event's place in the stream.
    public let streamID: StreamID
    /// The mark of its commit.
    public let mark: CommitMark
    /// Nil where it is not known: for an event in a table of the user's own, and in a checkpoint.
    public let eventID: String?

    /// For readers, writers and stores alike.
    public init(streamID: StreamID, mark: CommitMark, eventID: String? = nil) {
        self.streamID = streamID
        self.mark = mark
        self.eventID = eventID
    }
}

/// A consistent look at a stream.
public struct Snapshot: Sendable {
    /// The members, and their durable positions and version, in the same snapshot as the events.
    public let membership: Membership
    /// The highest event of the snapshot, 0 when there is none.
    public let newestEvent: StreamID
    /// The newest ID of the sequence.
    public let sequence: StreamID
    /// What the snapshot has seen.
    public let mark: SnapshotMark
    /// Whether the passed event that was asked for is still what it was; true when none was asked for.
    public let deliveredIsThere: Bool
    /// The newest claim of the consumer that was asked for; nil when none was, or there is no such consumer.
    public let consumerGeneration: Int?
    /// The events asked for, ascending: where there are no members those up to the newest, else those up to `through`.
    /// Empty when the membership version or the claim is not the one asked for, or the passed event is not there.
    public let events: [PersistedEvent]
    /// Events in tables of the user's own in the same range, ascending; they count for the limit too.
    public let externalEvents: [ExternalEvent]
    /// Whether a limit cut the events off.
    public let isTruncated: Bool
    /// The database; the same for all streams in it.
    public let database: DatabaseID
    /// The last event that a reader passes with this snapshot: in a snapshot with a filter that no limit cut off, the last
    /// one of all that were looked at. Nil when there is none.
    public let passed: Delivered?

    /// For stores. Everything in it has to come from one snapshot that was opened after the call (rule 7).
    public init(
        membership: Membership, newestEvent: StreamID, sequence: StreamID, mark: SnapshotMark, deliveredIsThere: Bool,
        consumerGeneration: Int? = nil, events: [PersistedEvent], externalEvents: [ExternalEvent] = [],
        isTruncated: Bool,
        database: DatabaseID = DatabaseID(0), passed: Delivered? = nil
    ) {
        self.database = database
        self.passed = passed ?? Delivered.last(of: events, externalEvents)
        self.membership = membership
        self.newestEvent = newestEvent
        self.sequence = sequence
        self.mark = mark
        self.deliveredIsThere = deliveredIsThere
        self.consumerGeneration = consumerGeneration
        self.events = events
        self.externalEvents = externalEvents
        self.isTruncated = isTruncated
    }

    /// The last of the events; nil when there are none.
    public var last: Delivered? { Delivered.last(of: events, externalEvents) }
}

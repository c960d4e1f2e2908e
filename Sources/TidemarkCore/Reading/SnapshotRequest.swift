/// What a background reader asks of a snapshot.
public struct SnapshotRequest: Hashable, Sendable {
    /// The last event that was delivered, looked up again; nil when there is none.
    public var delivered: Delivered?
    /// The version that the watermark was computed with; where the snapshot has another, it has no events.
    public var membershipVersion: Int
    /// Events after this ID and up to `through`.
    public var after: StreamID
    public var through: StreamID
    /// At most so many events, and no further event once so many bytes of payload are in.
    public var limit: Int
    public var byteLimit: Int

    public init(
        delivered: Delivered?, membershipVersion: Int, after: StreamID, through: StreamID, limit: Int, byteLimit: Int
    ) {
        self.delivered = delivered
        self.membershipVersion = membershipVersion
        self.after = after
        self.through = through
        self.limit = limit
        self.byteLimit = byteLimit
    }
}

/// An event that a reader has delivered, by which it knows the database again.
public struct Delivered: Hashable, Sendable {
    public let streamID: StreamID
    public let commitNumber: Int64
    /// Nil for an event in a table of the user's own, which has no id that is known here.
    public let eventID: String?

    public init(streamID: StreamID, commitNumber: Int64, eventID: String?) {
        self.streamID = streamID
        self.commitNumber = commitNumber
        self.eventID = eventID
    }
}

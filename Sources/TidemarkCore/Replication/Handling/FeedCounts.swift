/// What was heard and not handed on, by reason. Nothing of it is lost: the database has it.
public struct FeedCounts: Hashable, Sendable {
    /// What this instance itself had sent: brokers send it back.
    public var own = 0
    /// From an epoch that is over, or from somebody who is no member.
    public var outdated = 0
    /// From a newer epoch, or from somebody unknown: the members are read again.
    public var strangers = 0
    /// From a writer of another database: it speaks in the name of a member, and did not join here.
    public var foreign = 0
    /// Rows of a writer that has not told its position on this connection yet.
    public var unopened = 0
    /// How often the source said that a writer is behind what had been heard of it: its stream began again, or what was
    /// heard was false.
    public var setBack = 0
    /// Writers that were forgotten to make room for others.
    public var forgottenWriters = 0
    /// What was known already.
    public var oldNews = 0
    /// Positions that told of rows which had not arrived.
    public var gaps = 0
    /// How often a queue was full, and was dropped to catch up from the database.
    public var overflows = 0
    /// What was in those queues.
    public var droppedFromQueue = 0
    /// Batches of which some rows had arrived when they were thrown away.
    public var discardedBatches = 0

    public init() {}
}

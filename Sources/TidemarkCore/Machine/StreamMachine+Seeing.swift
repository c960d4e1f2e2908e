/// What can be read of the machine. Reading changes nothing.
extension StreamMachine {
    /// The name of this instance.
    public var instance: InstanceName { tracker.instance }
    /// The minimum as this instance knows it, with the membership version that it was computed with (rule 7).
    public var watermark: Watermark { tracker.watermark }
    /// The highest minimum that a snapshot has confirmed.
    public var confirmed: StreamID { tracker.confirmed }
    /// The highest ID that is known from the database.
    public var known: StreamID { tracker.known }
    /// The highest ID heard of or read.
    public var highestKnown: StreamID { tracker.highestKnown }
    /// The epoch in which this instance is a member, as the members say; nil where it is none.
    public var own: Writer? { tracker.own }
    /// This instance's position; nil where it only reads.
    public var position: StreamID? { tracker.position }
    /// One entry a member: this instance's position, the others' as heard.
    public var positions: [Writer: StreamID] { tracker.positions }
    /// At least the minimum; so for instances that are no members.
    public func position(of name: InstanceName) -> StreamID { tracker.position(of: name) }
    /// The minimum, and the writers ahead of it.
    public var token: StreamToken { tracker.token }
    /// The epoch in which the instance is a member.
    public func epoch(of instance: InstanceName) -> Int? { tracker.epoch(of: instance) }
    /// What the member drew when it joined.
    public func nonce(of writer: Writer) -> Int64? { tracker.nonces[writer] }
    /// How many IDs of this instance are in flight.
    public var inFlightCount: Int { tracker.inFlightCount }
    /// The lowest of them; nil when none is.
    public var lowestInFlight: InFlightIDs.Entry? { tracker.lowestInFlight }
    /// What this instance has said over replication.
    public var announced: AnnouncementCounts { announcer.counts }
    /// What it has heard, dropped and missed.
    public var heard: FeedCounts { feed.counts }
    /// Whether something that was heard is still to be asked for.
    public var hasQuestions: Bool { feed.hasQuestions }
    /// Whether the last attempt to ask the database failed.
    public var hasFailedToReconcile: Bool { reconciling.hasFailed }
    /// Whether the database is being asked for something, or is about to be: a heartbeat, reconciling, closing a writer.
    public var isBusy: Bool { reconciling.isUnderWay || beats.isUnderWay || isClosing || decision != nil }
    /// For how long the minimum has stood still while something above it is known.
    public func standstill(now: Duration) -> Duration { reconciling.standstill(now: now) }
    /// The incarnation of the database that was seen last.
    public var incarnation: Incarnation { seenIncarnation }
    /// The incarnation that hands out this instance's IDs.
    public var writersIncarnation: Incarnation { ownIncarnation }
    /// The newest era of the stream that the database has told of; nil where it has none.
    public var era: Era? { tracker.era }
    /// The last epoch of this instance, whether or not it may still write; nil for a reader.
    public var writer: Writer? { membership.writer }
    /// The fence that the groups of that epoch name (rule 5).
    public var fence: Int64 { membership.fence }
    /// Whether the log was told to end.
    public var isStopped: Bool { membership.isStopped }
    /// Whether this instance has to join again: the members name another epoch of it, or none.
    public var hasLostMembership: Bool { tracker.hasLostMembership }
    /// The writer that this instance has joined as. Another epoch of its name is another process.
    public var pinned: Writer? { tracker.pinned }
}

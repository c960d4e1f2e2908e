/// The minimum persisted position together with the members it was computed from, read under one lock.
///
/// A reader may go up to `minimum` only in a snapshot in which the membership version is still `membershipVersion`:
/// a writer that joined in between may commit below it.
public struct Watermark: Hashable, Sendable {
    /// The greatest ID such that it and every ID below it is finished, as far as this instance can tell.
    public let minimum: StreamID
    /// The version of the members that `minimum` was computed with.
    public let membershipVersion: Int

    /// The version has to be read with the members, before the minimum is computed.
    public init(minimum: StreamID, membershipVersion: Int) {
        self.minimum = minimum
        self.membershipVersion = membershipVersion
    }
}

extension PositionTracker {
    /// What others want to hear of when it changes.
    public struct Marks: Hashable, Sendable {
        /// As far as readers may go.
        public let watermark: Watermark
        /// What this instance promises; 0 where it only reads.
        public let position: StreamID
        /// Where it could be once the sequence was read: above the position where something was heard that the sequence,
        /// as it was read last, has not passed.
        public let afterReading: StreamID
    }
}

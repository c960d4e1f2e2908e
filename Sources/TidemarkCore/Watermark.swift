/// The minimum persisted position together with the members it was computed from, read under one lock.
///
/// A reader may go up to `minimum` only in a snapshot in which the membership version is still `membershipVersion`:
/// a writer that joined in between may commit below it.
public struct Watermark: Hashable, Sendable {
    /// The greatest ID such that it and every ID below it is finished, as far as this instance can tell.
    public let minimum: StreamID
    /// The version of the members that `minimum` was computed with.
    public let membershipVersion: Int

    public init(minimum: StreamID, membershipVersion: Int) {
        self.minimum = minimum
        self.membershipVersion = membershipVersion
    }
}

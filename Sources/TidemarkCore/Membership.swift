/// The writers that readers count, as one snapshot of the database says.
public struct Membership: Hashable, Sendable {
    /// The members with their durable positions.
    public var members: [Writer: StreamID]
    /// Raised by each join, leave and retirement, in the same transaction.
    public var version: Int

    public init(members: [Writer: StreamID], version: Int) {
        self.members = members
        self.version = version
    }
}

/// The writers that readers count, as one snapshot of the database says.
public struct Membership: Hashable, Sendable {
    /// The members with their durable positions.
    public var members: [Writer: StreamID]
    /// What each member drew when it joined, by which it is known on the wire; empty where the database keeps none.
    public var nonces: [Writer: Int64]
    /// Raised by each join, leave and retirement, in the same transaction.
    public var version: Int

    public init(members: [Writer: StreamID], version: Int, nonces: [Writer: Int64] = [:]) {
        self.members = members
        self.nonces = nonces
        self.version = version
    }
}

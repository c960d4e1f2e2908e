/// `RDATA stream instance token row`: one row that a writer wrote. The instance is `name#epoch.nonce`.
public struct ReplicationRow: Hashable, Sendable {
    public enum Token: Hashable, Sendable {
        case id(StreamID)
        /// More rows of the same ID follow; the last carries the ID.
        case batch
    }

    public let stream: StreamName
    public let writer: Writer
    /// What the writer drew when it joined; nil for a peer that speaks without it.
    public let nonce: Int64?
    public let token: Token
    public let row: JSONText

    public var speaker: Speaker { Speaker(writer, nonce: nonce) }

    public init(stream: StreamName, writer: Writer, nonce: Int64? = nil, token: Token, row: JSONText) {
        self.stream = stream
        self.writer = writer
        self.nonce = nonce
        self.token = token
        self.row = row
    }
}

/// `POSITION stream instance previous new`: the instance wrote no rows between the two.
public struct ReplicationPosition: Hashable, Sendable {
    public let stream: StreamName
    public let writer: Writer
    /// What the writer drew when it joined; nil for a peer that speaks without it.
    public let nonce: Int64?
    /// Equal to `new` when the writer cannot say.
    public let previous: StreamID
    public let new: StreamID

    public var speaker: Speaker { Speaker(writer, nonce: nonce) }

    public init(stream: StreamName, writer: Writer, nonce: Int64? = nil, previous: StreamID, new: StreamID) {
        self.stream = stream
        self.writer = writer
        self.nonce = nonce
        self.previous = previous
        self.new = new
    }
}

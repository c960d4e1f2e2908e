/// `RDATA stream instance token row`: one row that a writer wrote.
public struct ReplicationRow: Hashable, Sendable {
    public enum Token: Hashable, Sendable {
        case id(StreamID)
        /// More rows of the same ID follow; the last carries the ID.
        case batch
    }

    public let stream: StreamName
    public let writer: Writer
    public let token: Token
    public let row: JSONText

    public init(stream: StreamName, writer: Writer, token: Token, row: JSONText) {
        self.stream = stream
        self.writer = writer
        self.token = token
        self.row = row
    }
}

/// `POSITION stream instance previous new`: the instance wrote no rows between the two.
public struct ReplicationPosition: Hashable, Sendable {
    public let stream: StreamName
    public let writer: Writer
    /// Equal to `new` when the writer cannot say.
    public let previous: StreamID
    public let new: StreamID

    public init(stream: StreamName, writer: Writer, previous: StreamID, new: StreamID) {
        self.stream = stream
        self.writer = writer
        self.previous = previous
        self.new = new
    }
}

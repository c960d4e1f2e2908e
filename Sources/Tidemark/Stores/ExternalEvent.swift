/// An event in a table of the user's own, whose ID was committed in the user's own transaction: its place in the
/// stream, and who committed it. What it says is in the user's table.
public struct ExternalEvent: Hashable, Sendable {
    /// Its place in the stream.
    public let streamID: StreamID
    /// The instance that committed it.
    public let instance: InstanceName
    /// When it was committed, in milliseconds since 1970-01-01 UTC by the writer's wall clock. For people: nothing is
    /// ordered or decided by it.
    public let persistedAtMilliseconds: Int64
    /// The number of the commit that wrote it.
    public let mark: CommitMark

    /// For stores, and for tests of what reads events.
    public init(streamID: StreamID, instance: InstanceName, persistedAtMilliseconds: Int64, mark: CommitMark) {
        self.streamID = streamID
        self.instance = instance
        self.persistedAtMilliseconds = persistedAtMilliseconds
        self.mark = mark
    }
}

/// What one look at the database showed of a member: its signs of life, and how far its promise goes.
public struct WriterObservation: Hashable, Sendable {
    public let writer: Writer
    /// Counts up with each sign of life; nothing is said by how high it is.
    public let heartbeat: Int
    /// The durable position.
    public let position: StreamID
    /// Whether the operating system says that the writer's process is gone. False where it cannot tell.
    public let isProcessGone: Bool
    /// When this was read, on the clock of the store that read it, which stands still while the machine is suspended.
    public let readAt: Duration

    public init(
        writer: Writer, heartbeat: Int, position: StreamID, isProcessGone: Bool = false, readAt: Duration = .zero
    ) {
        self.writer = writer
        self.heartbeat = heartbeat
        self.position = position
        self.isProcessGone = isProcessGone
        self.readAt = readAt
    }
}

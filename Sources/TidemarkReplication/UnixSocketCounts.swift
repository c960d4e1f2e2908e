import Synchronization

/// What a ``UnixSocketTransport`` has left out since it was made.
public struct UnixSocketCounts: Hashable, Sendable {
    /// Lines received that were malformed, unknown or not for their sender to say.
    public var skippedLines = 0
    /// Commands that were sent faster than the transport could take them.
    public var droppedCommands = 0
    /// Commands that would have made a line above the limit.
    public var leftOutCommands = 0
    /// Peers that read too slowly and were disconnected.
    public var slowPeers = 0
}

/// The counts, as the transport's thread and its senders write them.
final class SharedCounts: Sendable {
    private let counts = Mutex(UnixSocketCounts())

    var current: UnixSocketCounts { counts.withLock { $0 } }

    func add(_ number: Int = 1, to count: WritableKeyPath<UnixSocketCounts, Int>) {
        counts.withLock { $0[keyPath: count] += number }
    }
}

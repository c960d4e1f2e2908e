import Synchronization

/// What a transport over sockets has left out since it was made.
public struct SocketCounts: Hashable, Sendable {
    /// Lines received that were malformed, unknown or not for their sender to say.
    public var skippedLines = 0
    /// Commands that were sent faster than the transport could take them.
    public var droppedCommands = 0
    /// Commands that would have made a line above the limit.
    public var leftOutCommands = 0
    /// Peers that read too slowly and were disconnected.
    public var slowPeers = 0
    /// Clients that did not say who they are, in time or at all, and were disconnected.
    public var unnamedPeers = 0
    /// Attempts to connect to a server.
    public var connectionAttempts = 0

    /// All 0.
    public init() {}
}

/// The counts, as the transport's thread and its senders write them.
final class SharedCounts: Sendable {
    private struct State {
        var counts = SocketCounts()
        var lastProblem: SocketProblem?
    }

    private let state = Mutex(State())

    var current: SocketCounts { state.withLock { $0.counts } }

    /// What ended the link, or kept it from being made, the last time.
    var lastProblem: SocketProblem? {
        get { state.withLock { $0.lastProblem } }
        set { state.withLock { $0.lastProblem = newValue } }
    }

    func add(_ number: Int = 1, to count: WritableKeyPath<SocketCounts, Int>) {
        state.withLock { $0.counts[keyPath: count] += number }
    }
}

import Synchronization

/// The times and bounds of a ``UnixSocketTransport`` or ``TCPTransport``. The defaults suit one machine;
/// ``TCPConfiguration`` has others.
public struct SocketConfiguration: Hashable, Sendable {
    /// How often each side of a connection says that it is there.
    public var pingInterval: Duration = .milliseconds(500)
    /// How long a peer that has sent a `PING` may say nothing before it is dropped; also how long a client waits for
    /// the server's first line.
    public var silenceLimit: Duration = .milliseconds(1500)
    /// How long a client may take to say who it is: for TLS, where that is used, and for its `NAME`. Until then it is
    /// told nothing of what others say.
    public var greetingLimit: Duration = .seconds(10)
    /// How many clients may not have said who they are. When one more comes, one of them is disconnected: a random one
    /// of the address that has most of them.
    public var unnamedPeers = 128
    /// The longest line that is sent or taken, in bytes without the newline.
    public var lineLimit = 16 * 1024
    /// How many bytes may wait for a peer that reads slowly, before it is disconnected; and how many may wait for the
    /// transport's own thread, before what is sent is dropped.
    public var unsentLimit = 4 * 1024 * 1024

    /// The defaults.
    public init() {}
}

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

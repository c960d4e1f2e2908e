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

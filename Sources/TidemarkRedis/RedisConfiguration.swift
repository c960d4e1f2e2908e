/// The times and bounds of a ``RedisTransport``; the defaults suit one network.
public struct RedisConfiguration: Hashable, Sendable {
    /// How often the server is asked whether it is there.
    public var pingInterval: Duration = .seconds(1)
    /// How long a server may say nothing, in spite of pings, before the connection is given up; and how long it may
    /// not send back what is published, which it sends to all who listen.
    public var silenceLimit: Duration = .seconds(4)
    /// How long connecting, logging in and subscribing may take together.
    public var setUpLimit: Duration = .seconds(5)
    /// The delay after the first failure; it doubles with each further one.
    public var shortestDelay: Duration = .milliseconds(20)
    /// The longest delay while the server cannot be reached: how late at most a server that is back is noticed.
    public var longestDelay: Duration = .milliseconds(500)
    /// The longest delay while the server refuses what is asked of it, which only somebody can change.
    public var longestRefusalDelay: Duration = .seconds(10)
    /// The longest line that is sent, in bytes. Receivers fetch what is longer from the database.
    public var lineLimit = 16 * 1024
    /// The longest message that is taken, in bytes: other software may send longer lines than this one.
    public var receiveLimit = 1 << 20
    /// How many bytes may wait for the transport's own thread, before what is sent is dropped; and how many may be on
    /// their way through the server, before what is sent waits there.
    public var unsentLimit = 4 * 1024 * 1024
    /// Whether `USER_IP` is listened to: it has a channel of its own, `CHANNEL/USER_IP`.
    public var hearsUserIP = false

    /// The defaults.
    public init() {}
}

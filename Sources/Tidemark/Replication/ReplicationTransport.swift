/// Carries replication commands between instances: fast, and allowed to lose, repeat and delay them.
///
/// Nothing depends on a command's arrival: positions are promises that stay true, and everyone reconciles with the
/// database. A transport therefore never makes a sender wait.
public protocol ReplicationTransport: Sendable {
    /// For how long a writer listens before it speaks, because there may be other software which unexpected commands harm.
    var listensFirst: Duration { get }
    /// Whether it is beside one database and belongs to that alone, so that no other software is there: nothing that is
    /// heard silences a writer.
    var belongsToDatabase: Bool { get }
    /// Takes part, under the given name, until the connection is closed.
    ///
    /// `receive` is called from the transport's own thread, one call at a time and in order of arrival, with what
    /// others send; what this connection sends does not come back to it. It must not block.
    ///
    /// - Throws: an ``UnusableTransport`` where the transport cannot be used as it was set up. After any other error it is
    ///   tried again.
    func connect(
        as name: InstanceName, receive: @escaping @Sendable (ReplicationEvent) -> Void
    ) async throws -> any ReplicationConnection
}

extension ReplicationTransport {
    /// Zero: no other software is there.
    public var listensFirst: Duration { .zero }
    /// False: any program may have been set up to use the same channel.
    public var belongsToDatabase: Bool { false }
}

/// An error of a transport that lasts until the transport is set up otherwise: opening a log throws it, and nothing is tried
/// again.
public protocol UnusableTransport: Error {}

/// One participant's end of a transport.
public protocol ReplicationConnection: Sendable {
    /// Hands the commands to the transport and returns at once. What does not fit into the transport's bounded buffers,
    /// or is sent while there is no connection, is dropped. Positions that are repeated make up for it; and where rows were
    /// dropped the others are told so, by a position whose previous one is above its new one, or by a new connection, on
    /// which everyone tells where he is. The rows of one ID are given in one call.
    func send(_ commands: [ReplicationCommand])
    /// The participant has caught up with every stream since the last ``ReplicationEvent/connected``: the transport may
    /// reset its back-off. Without that, a failure during set-up or catching up would become a tight loop.
    func caughtUp()
    /// Takes part no longer; `receive` is not called after it returns.
    func close() async
}

extension ReplicationConnection {
    /// Does nothing, for a transport that never backs off.
    public func caughtUp() {}
}

/// What a transport tells its participant.
public enum ReplicationEvent: Sendable {
    /// A connection was made, or made anew: commands may have been missed before this moment. The transport asks the
    /// others for their positions by itself (`REPLICATE`).
    case connected
    /// The connection is gone; the transport makes a new one by itself.
    case disconnected(reason: String)
    /// Another participant sent this.
    case command(ReplicationCommand)
}

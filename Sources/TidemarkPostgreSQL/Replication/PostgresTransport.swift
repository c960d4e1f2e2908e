public import Tidemark

/// Carries commands between the instances of one stream through the database itself, by LISTEN and NOTIFY: nothing else has
/// to be installed or named.
///
/// The store's one direct connection listens and notifies, outside of all transactions that persist, because a transaction
/// that notifies takes a lock of the whole server when it commits. One NOTIFY is under way at a time, and what is said
/// meanwhile is the next one; each takes a transaction id of the server. Logs of one store hear each other directly.
///
/// The database's own instances meet there and nobody else: the channel is made of the namespace and the stream. Every role
/// that may connect to the database can say something there, though.
public struct PostgresTransport: ReplicationTransport {
    private let channel: NotificationChannel

    /// The channel of that stream in the store's database; nothing is connected yet.
    public init(_ store: PostgreSQLEventStore, stream: StreamName) { channel = store.channel(of: stream) }

    /// What was skipped, dropped or left out so far, by all that use this store and stream.
    public var counts: NotificationCounts { channel.counts }

    /// Why there is no connection, or why the server did not take what was said last; nil while all is well.
    public var failure: PostgresError? { channel.failure }

    /// It is a part of the database.
    public var belongsToDatabase: Bool { true }

    /// Takes part until the connection is closed.
    ///
    /// Returns without waiting for the server; `receive` is told `ReplicationEvent.connected` when the store's direct
    /// connection listens, on the thread of that connection. It throws nothing.
    public func connect(
        as name: InstanceName, receive: @escaping @Sendable (ReplicationEvent) -> Void
    ) async throws -> any ReplicationConnection {
        channel.connect(receive)
    }
}

/// What a ``PostgresTransport`` has left out since its store was opened.
public struct NotificationCounts: Hashable, Sendable {
    /// Lines received that were malformed, unknown, or not to be said to everyone.
    public var skippedLines = 0
    /// Commands that were sent while there was no connection, or faster than the server took them, or that it refused.
    public var droppedCommands = 0
    /// Commands that would have been longer than a notification may be, or that are not said to everyone.
    public var leftOutCommands = 0
    /// Connections that failed, or could not be made, and notifications that the server refused.
    public var failures = 0

    /// All 0.
    public init() {}
}

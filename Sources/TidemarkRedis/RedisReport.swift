import Synchronization

/// What the links of a transport have to report, as their thread writes it and others read it.
final class RedisReport: Sendable {
    private let state = Mutex((counts: RedisCounts(), failure: RedisError?.none))

    var counts: RedisCounts { state.withLock { $0.counts } }
    var failure: RedisError? { state.withLock { $0.failure } }

    func add(_ number: Int = 1, to count: WritableKeyPath<RedisCounts, Int>) {
        state.withLock { $0.counts[keyPath: count] += number }
    }

    func set(failure: RedisError?) { state.withLock { $0.failure = failure } }
}

/// What a ``RedisTransport`` has left out since it was made.
public struct RedisCounts: Hashable, Sendable {
    /// Lines received that were malformed, unknown, or not to be said through a broker.
    public var skippedLines = 0
    /// Commands that were sent while there was no connection, or faster than the server could take them, or that it
    /// refused.
    public var droppedCommands = 0
    /// Commands that would have made a line above the limit, or that are not said through a broker.
    public var leftOutCommands = 0
    /// Connections that failed, or could not be made.
    public var failures = 0
}

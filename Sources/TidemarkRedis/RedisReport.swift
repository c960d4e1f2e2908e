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

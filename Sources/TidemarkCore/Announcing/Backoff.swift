/// How long to wait before trying again: exponential with full jitter below a ceiling that doubles.
///
/// Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015. Half of each delay is fixed, so
/// that a failing operation never becomes a tight loop.
public struct Backoff: Sendable {
    public let shortest: Duration
    public let longest: Duration
    /// How often in a row it has failed.
    public private(set) var failures = 0

    public init(shortest: Duration, longest: Duration) {
        precondition(.zero < shortest && shortest <= longest, "delays must be positive and in order")
        self.shortest = shortest
        self.longest = longest
    }

    /// The delay after one more failure.
    ///
    /// - Parameter random: uniform in 0..<1; from a seeded generator in tests.
    public mutating func nextDelay(random: Double) -> Duration {
        precondition((0..<1).contains(random), "\(random) is not in 0..<1")
        let ceiling = min(longest, shortest * (1 << min(failures, 30)))
        failures += 1
        return ceiling / 2 + ceiling / 2 * random
    }

    public mutating func reset() {
        failures = 0
    }
}

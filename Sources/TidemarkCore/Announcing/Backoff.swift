/// How long to wait before trying again: exponential with full jitter below a ceiling that grows.
///
/// Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015. Half of each delay is fixed, so
/// that a failing operation never becomes a tight loop.
public struct Backoff: Sendable {
    /// The first ceiling; above 0.
    public let shortest: Duration
    /// The last ceiling, at least the first.
    public let longest: Duration
    /// By what factor the ceiling grows with each failure.
    public let growth: Int
    /// How often in a row it has failed.
    public private(set) var failures = 0
    private var ceiling: Duration

    /// Traps unless `0 < shortest <= longest` and `growth` is from 2 to 16.
    public init(shortest: Duration, longest: Duration, growth: Int = 2) {
        precondition(.zero < shortest && shortest <= longest, "delays must be positive and in order")
        precondition((2...16).contains(growth), "delays that do not grow are no back-off")
        self.shortest = shortest
        self.longest = longest
        self.growth = growth
        ceiling = shortest
    }

    /// The delay after one more failure.
    ///
    /// - Parameter random: uniform in 0..<1; from a seeded generator in tests.
    public mutating func nextDelay(random: Double) -> Duration {
        precondition((0..<1).contains(random), "\(random) is not in 0..<1")
        defer {
            failures += 1
            ceiling = min(longest, ceiling * growth)
        }
        return ceiling / 2 + ceiling / 2 * random
    }

    /// It has worked: the next failure waits as the first did.
    public mutating func reset() {
        failures = 0
        ceiling = shortest
    }
}

import TidemarkCore

/// When to connect again, and whether calls wait for that: a value that is told what happened.
///
/// The delays grow until a connection has lasted, and not only until there is one: a server, or a pooler, that takes
/// connections and then drops them is not called in a tight loop.
struct Reconnecting {
    /// How long a connection has to last to end a series of failures.
    static let healthyAfter: Duration = .seconds(1)

    private(set) var nextAttempt: Duration = .zero
    /// Why the last attempt failed; nil after one that did not.
    private(set) var failure: PostgresError?
    private var hasConnected = false
    private var delays: Backoff
    private var refusalDelays: Backoff

    init(_ configuration: PostgresConfiguration) {
        delays = Backoff(shortest: configuration.shortestDelay, longest: configuration.longestDelay)
        refusalDelays = Backoff(shortest: configuration.longestDelay, longest: configuration.longestRefusalDelay)
    }

    /// The error that a call gets at once, instead of waiting for the next attempt: where there never was a connection,
    /// something is wrong that waiting does not mend.
    func refusal(at now: Duration) -> PostgresError? {
        now < nextAttempt && failsCalls ? failure : nil
    }

    private var failsCalls: Bool {
        guard let failure else { return false }
        return !hasConnected || failure.needsSomebody
    }

    /// Returns whether an attempt had failed before this one.
    mutating func connected() -> Bool {
        hasConnected = true
        nextAttempt = .zero
        return failure.take() != nil
    }

    /// - Parameter random: uniform in 0..<1.
    /// - Returns: whether the calls that wait fail with it, and whether it is another error than the last one.
    mutating func failed(_ error: PostgresError, at now: Duration, random: Double) -> (failsCalls: Bool, isNew: Bool) {
        let isNew = failure != error
        failure = error
        nextAttempt =
            now + (error.needsSomebody ? refusalDelays.nextDelay(random: random) : delays.nextDelay(random: random))
        return (failsCalls, isNew)
    }

    /// - Parameter lasted: how long the connection was there.
    mutating func lost(afterLasting lasted: Duration, at now: Duration, random: Double) {
        if lasted >= Self.healthyAfter {
            delays.reset()
            refusalDelays.reset()
        } else {
            nextAttempt = now + delays.nextDelay(random: random)
        }
    }
}

import NIOCore

/// How long to wait before the next attempt: doubling from 5 ms to 1 s, each delay between half of that and all of it.
///
/// The jitter spreads processes that lost the same server at the same moment. A link that came up does not end a series
/// of failures; one that stayed up for ``healthyAfter`` does. So a link that always fails just after it was made never
/// becomes a tight loop.
struct Backoff {
    static let shortest = TimeAmount.milliseconds(5)
    static let longest = TimeAmount.seconds(1)
    static let healthyAfter = TimeAmount.seconds(1)

    private var failures = 0
    private var upSince: NIODeadline?

    mutating func linkCameUp(at now: NIODeadline) { upSince = now }

    /// The delay after a failure, or after the loss of a link.
    mutating func next(at now: NIODeadline, using random: inout some RandomNumberGenerator) -> TimeAmount {
        if let since = upSince, now - since >= Self.healthyAfter { failures = 0 }
        upSince = nil
        // 2^8 times the shortest is above the longest: a larger exponent changes nothing and could overflow.
        let full = min(Self.shortest.nanoseconds << Int64(min(failures, 8)), Self.longest.nanoseconds)
        failures += 1
        return .nanoseconds(Int64.random(in: full / 2...full, using: &random))
    }
}

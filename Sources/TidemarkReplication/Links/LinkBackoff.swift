import NIOCore
import TidemarkCore

/// How long to wait before the next attempt to make a link.
///
/// The delays grow with each failure, with jitter, to a limit. That a socket opened does not end a series of failures:
/// it ends where everyone of this process has caught up with every stream over the link, and the link has then lasted
/// for another ``healthyAfter``. So a link that fails during set-up, while catching up or just after that never becomes
/// a tight loop.
struct LinkBackoff {
    static let healthyAfter = TimeAmount.seconds(1)

    private var delays: Backoff
    private var caughtUpAt: NIODeadline?

    init(_ delays: Backoff) { self.delays = delays }

    mutating func linkCameUp() { caughtUpAt = nil }

    mutating func caughtUp(at now: NIODeadline) { caughtUpAt = caughtUpAt ?? now }

    /// The delay after a failure, or after the loss of a link.
    mutating func next(at now: NIODeadline, using random: inout some RandomNumberGenerator) -> TimeAmount {
        if let caughtUpAt, now - caughtUpAt >= Self.healthyAfter { delays.reset() }
        caughtUpAt = nil
        return TimeAmount(delays.nextDelay(random: Double.random(in: 0..<1, using: &random)))
    }
}

import NIOCore
import TidemarkCore
import Testing

@testable import TidemarkReplication

@Suite struct LinkBackoffTests {
    private var random = SplitMix64(seed: 1)
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

    /// The delays of sockets and of TCP.
    static let kinds = [Election.delays, TCPConfiguration().delays]

    @Test(arguments: kinds) mutating func `delays grow with jitter to a limit`(delays: Backoff) {
        var backoff = LinkBackoff(delays)
        var full = delays.shortest
        for _ in 0..<12 {
            let delay = backoff.next(at: start, using: &random)
            #expect(delay <= TimeAmount(full))
            #expect(delay >= TimeAmount(full / 2))
            full = min(full * delays.growth, delays.longest)
        }
    }

    @Test(arguments: kinds) mutating func `a link that always fails is tried less than ten times in ten seconds`(
        delays: Backoff
    ) {
        for seed in 0..<100 as Range<UInt64> {
            var random = SplitMix64(seed: seed)
            var backoff = LinkBackoff(delays)
            var now = start
            var attempts = 0
            while now < start + .seconds(10) {
                attempts += 1
                backoff.linkCameUp()
                now = now + backoff.next(at: now, using: &random)
            }
            #expect(attempts < 10)
        }
    }

    /// What catches up at once and fails just after that would otherwise be a tight loop.
    @Test(arguments: kinds) mutating func `a link that fails just after it has caught up keeps the delays growing`(
        delays: Backoff
    ) {
        var backoff = LinkBackoff(delays)
        var last = TimeAmount.zero
        for _ in 0..<12 {
            backoff.linkCameUp()
            backoff.caughtUp(at: start)
            last = backoff.next(at: start + .milliseconds(10), using: &random)
        }
        #expect(last >= TimeAmount(delays.longest / 2))
    }

    @Test(arguments: kinds) mutating func `a link that has caught up and lasts starts the delays anew`(delays: Backoff)
    {
        var backoff = LinkBackoff(delays)
        for _ in 0..<8 { _ = backoff.next(at: start, using: &random) }
        backoff.linkCameUp()
        backoff.caughtUp(at: start)
        #expect(backoff.next(at: start + LinkBackoff.healthyAfter, using: &random) <= TimeAmount(delays.shortest))
    }

    @Test(arguments: kinds) mutating func `a link that lasts and never catches up keeps the delays growing`(
        delays: Backoff
    ) {
        var backoff = LinkBackoff(delays)
        for _ in 0..<8 { _ = backoff.next(at: start, using: &random) }
        backoff.linkCameUp()
        #expect(backoff.next(at: start + .hours(1), using: &random) >= TimeAmount(delays.longest / 2))
    }
}

import NIOCore
import Testing

@testable import TidemarkReplication

@Suite struct BackoffTests {
    private var random = SeededRandom(seed: 1)
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

    @Test mutating func delaysDoubleWithJitterFrom5MillisecondsTo1Second() {
        var backoff = Backoff()
        for full in [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000] as [Int64] {
            let delay = backoff.next(at: start, using: &random)
            #expect(delay <= .milliseconds(full))
            #expect(delay >= .microseconds(full * 500))
        }
    }

    @Test mutating func aLinkThatStaysUpStartsTheDelaysAnew() {
        var backoff = Backoff()
        for _ in 0..<8 { _ = backoff.next(at: start, using: &random) }
        backoff.linkCameUp(at: start)
        #expect(backoff.next(at: start + Backoff.healthyAfter, using: &random) <= Backoff.shortest)
    }

    @Test mutating func aLinkThatFailsAtOnceKeepsTheDelaysGrowing() {
        var backoff = Backoff()
        for _ in 0..<8 {
            backoff.linkCameUp(at: start)
            _ = backoff.next(at: start + .milliseconds(1), using: &random)
        }
        backoff.linkCameUp(at: start)
        #expect(backoff.next(at: start + .milliseconds(1), using: &random) >= .milliseconds(500))
    }

    @Test mutating func aLinkCountsAsHealthyOnlyOnce() {
        var backoff = Backoff()
        backoff.linkCameUp(at: start)
        let later = start + .minutes(1)
        _ = backoff.next(at: later, using: &random)
        #expect(backoff.next(at: later, using: &random) > Backoff.shortest)
    }

    @Test func theSameSeedGivesTheSameDelays() {
        var one = SeededRandom(seed: 7)
        var other = SeededRandom(seed: 7)
        #expect((0..<10).map { _ in one.next() } == (0..<10).map { _ in other.next() })
    }
}

import Testing
import TidemarkCore

@Suite struct BackoffTests {
    @Test func `delays grow up to the longest`() {
        var backoff = Backoff(shortest: .milliseconds(10), longest: .milliseconds(50))
        let delays = (0..<5).map { _ in backoff.nextDelay(random: 0) }
        #expect(delays == [5, 10, 20, 25, 25].map { Duration.milliseconds($0) })
        backoff.reset()
        #expect(backoff.nextDelay(random: 0) == .milliseconds(5))
    }

    @Test func `half of each delay is chance`() {
        var backoff = Backoff(shortest: .milliseconds(10), longest: .milliseconds(10))
        let delay = backoff.nextDelay(random: 0.5)
        #expect(delay == .microseconds(7_500))
    }

    @Test func `many failures do not overflow`() {
        var backoff = Backoff(shortest: .milliseconds(10), longest: .seconds(30))
        for _ in 0..<1_000 { _ = backoff.nextDelay(random: 0.99) }
        #expect(backoff.nextDelay(random: 0) == .seconds(15))
    }
}

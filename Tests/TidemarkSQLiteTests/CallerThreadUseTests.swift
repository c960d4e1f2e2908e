import Testing
@testable import TidemarkSQLite

@Suite struct CallerThreadUseTests {
    private let quick = CallerThreadUse.quickTransaction

    @Test func `nothing runs on its caller's thread before one was quick, or after one was slow`() {
        var use = CallerThreadUse()
        #expect(!use.mayBegin(at: .zero))
        use.ranElsewhere(for: quick)
        #expect(use.mayBegin(at: .zero))
        use.ranHere(for: quick + .nanoseconds(1))
        #expect(!use.mayBegin(at: .zero))
        use.ranElsewhere(for: quick)
        #expect(use.mayBegin(at: .zero))
    }

    /// Guards against a caller that never lets go of the only thread there is.
    @Test func `a streak on callers' threads ends, until one ran elsewhere`() {
        var use = CallerThreadUse()
        use.ranElsewhere(for: quick)
        var now = Duration.seconds(7)
        var count = 0
        while use.mayBegin(at: now) {
            use.ranHere(for: .microseconds(100))
            now += .microseconds(100)
            count += 1
        }
        #expect(count == 100)
        #expect(!use.mayBegin(at: now + .seconds(60)))
        use.ranElsewhere(for: .microseconds(100))
        #expect(use.mayBegin(at: now))
    }
}

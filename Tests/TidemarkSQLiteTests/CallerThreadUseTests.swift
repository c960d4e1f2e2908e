import Testing
@testable import TidemarkSQLite

@Suite struct CallerThreadUseTests {
    private let quick = CallerThreadUse.quickTransaction

    @Test func `nothing runs on its caller's thread before one was quick, or after one was slow`() {
        var use = CallerThreadUse()
        #expect(!use.mayBegin)
        use.ranElsewhere(for: quick)
        #expect(use.mayBegin)
        use.ranHere(for: quick + .nanoseconds(1))
        #expect(!use.mayBegin)
        use.ranElsewhere(for: quick)
        #expect(use.mayBegin)
    }

    /// Guards against a caller that never lets go of the only thread there is.
    @Test func `a streak on callers' threads ends, until one ran elsewhere`() {
        var use = CallerThreadUse()
        use.ranElsewhere(for: quick)
        var count = 0
        while use.mayBegin {
            use.ranHere(for: .microseconds(100))
            count += 1
        }
        #expect(count == 100)
        use.ranElsewhere(for: .microseconds(100))
        #expect(use.mayBegin)
    }
}

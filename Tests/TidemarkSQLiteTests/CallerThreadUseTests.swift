import Testing
@testable import TidemarkSQLite

@Suite struct CallerThreadUseTests {
    private let quick = CallerThreadUse.quickTransaction

    @Test func `nothing runs on its caller's thread before one was quick, or after one was slow`() {
        var use = CallerThreadUse()
        var answers = [use.mayBegin(at: .zero)]
        use.ranElsewhere(for: quick)
        answers.append(use.mayBegin(at: .zero))
        use.ranHere(for: quick + .nanoseconds(1))
        answers.append(use.mayBegin(at: .zero))
        use.ranElsewhere(for: quick)
        answers.append(use.mayBegin(at: .zero))
        #expect(answers == [false, true, false, true])
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
        var answers = [use.mayBegin(at: now + .seconds(60))]
        use.ranElsewhere(for: .microseconds(100))
        answers.append(use.mayBegin(at: now))
        #expect(answers == [false, true])
    }
}

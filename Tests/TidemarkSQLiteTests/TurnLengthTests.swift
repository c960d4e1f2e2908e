import Testing
@testable import TidemarkSQLite

@Suite struct TurnLengthTests {
    private let large = TurnLength.largeTransaction

    @Test func `after a small transaction the turn is over`() {
        let length = TurnLength(at: .seconds(1))
        #expect(length.wait(afterTransactionAt: .seconds(1) + large - .microseconds(1)) == nil)
        #expect(length.wait(afterTransactionAt: .seconds(1) + large) == large / 4)
    }

    @Test func `what counts is the last transaction and not the turn`() {
        let length = TurnLength(at: .zero).withTransaction(at: large)
        #expect(length.wait(afterTransactionAt: large + .microseconds(10)) == nil)
        #expect(length.wait(afterTransactionAt: large + large) != nil)
    }

    @Test func `a turn has a bound in transactions`() {
        var length = TurnLength(at: .zero)
        var now = Duration.zero
        var transactions = 1
        while true {
            now += large
            guard length.wait(afterTransactionAt: now) != nil else { break }
            length = length.withTransaction(at: now)
            transactions += 1
        }
        #expect(transactions == TurnLength.maximumTransactions)
    }

    @Test func `a turn has a bound in time`() {
        let most = TurnLength.maximumTime
        let length = TurnLength(at: .zero)
        #expect(length.wait(afterTransactionAt: most - .microseconds(3)) == .microseconds(3))
        #expect(length.wait(afterTransactionAt: most) == nil)
        #expect(length.wait(afterTransactionAt: most / 2) == TurnLength.maximumWait)
    }
}

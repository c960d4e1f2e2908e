import Testing
@testable import TidemarkSQLite

@Suite struct TurnLengthTests {
    private let large = TurnLength.largeTransaction

    @Test func `after a small transaction the turn is over, however long it took`() {
        let length = TurnLength(at: .seconds(1))
        #expect(length.wait(afterTransactionAt: .seconds(1) + .milliseconds(4), rows: large - 1) == nil)
        #expect(length.wait(afterTransactionAt: .seconds(1) + .microseconds(400), rows: large) == .microseconds(100))
    }

    @Test func `the wait is a part of what the last transaction took, and not the turn`() {
        let length = TurnLength(at: .zero).withTransaction(at: .milliseconds(2))
        let wait = length.wait(afterTransactionAt: .milliseconds(2) + .microseconds(40), rows: large)
        #expect(wait == .microseconds(10))
    }

    @Test func `a turn has a bound in transactions`() {
        var length = TurnLength(at: .zero)
        var now = Duration.zero
        var transactions = 1
        while true {
            now += .microseconds(100)
            guard length.wait(afterTransactionAt: now, rows: large) != nil else { break }
            length = length.withTransaction(at: now)
            transactions += 1
        }
        #expect(transactions == TurnLength.maximumTransactions)
    }

    @Test func `a turn has a bound in time`() {
        let most = TurnLength.maximumTime
        let length = TurnLength(at: .zero)
        #expect(length.wait(afterTransactionAt: most - .microseconds(3), rows: large) == .microseconds(3))
        #expect(length.wait(afterTransactionAt: most, rows: large) == nil)
        #expect(length.wait(afterTransactionAt: most / 2, rows: large) == TurnLength.maximumWait)
    }
}

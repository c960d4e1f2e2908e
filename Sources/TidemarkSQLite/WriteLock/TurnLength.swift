/// How long a writer keeps its turn while others wait.
///
/// When the writer of a database changes, SQLite throws the page cache of the new one away. After large transactions
/// that costs more than it does to wait a little for the next one of the same writer; after small ones it does not, and
/// the others go on while this one's caller makes up its next event.
///
/// Invariant: beyond its first transaction a turn has at most ``maximumTransactions``, and none begins later than
/// ``maximumTime`` after the turn has. So the time that a process waits while others write has a bound.
struct TurnLength: Hashable, Sendable {
    static let maximumTransactions = 4
    static let maximumTime = Duration.milliseconds(5)
    /// A transaction that changed fewer rows is small, however long the disk took to sync it.
    static let largeTransaction = 32
    /// For how much of a transaction's own time the next one is waited for, and for how long at most.
    static let waitFraction = 4
    static let maximumWait = Duration.microseconds(250)

    private let began: Duration
    private var transactions = 1
    private var transactionBegan: Duration

    /// A turn and its first transaction begin.
    init(at now: Duration) {
        began = now
        transactionBegan = now
    }

    /// The next transaction begins.
    func withTransaction(at now: Duration) -> TurnLength {
        var length = self
        length.transactions += 1
        length.transactionBegan = now
        return length
    }

    /// For how long the next transaction may be waited for; nil when the turn is over.
    ///
    /// - Parameter rows: how many the transaction has changed.
    func wait(afterTransactionAt now: Duration, rows: Int) -> Duration? {
        let took = now - transactionBegan
        guard transactions < Self.maximumTransactions, rows >= Self.largeTransaction else { return nil }
        let rest = began + Self.maximumTime - now
        guard rest > .zero else { return nil }
        return min(rest, took / Self.waitFraction, Self.maximumWait)
    }
}

import GRDB
import Tidemark

/// Runs transactions on the one connection that writes, one after the other, each in this process's turn.
final class WriteQueue: Sendable {
    private let pool: DatabasePool
    /// Nil in a store that only reads.
    private let turn: WriteTurn?
    private let fairnessTimeout: Duration
    private let pending = PendingWrites()

    init(pool: DatabasePool, turn: WriteTurn?, fairnessTimeout: Duration) {
        self.pool = pool
        self.turn = turn
        self.fairnessTimeout = fairnessTimeout
    }

    var isReadOnly: Bool { turn == nil }

    /// - Parameter transaction: runs in this process's turn, or when that has not come in time. What it returns tells
    ///   the callers, when the turn is over already: others need not wait for that.
    func run(_ transaction: @escaping @Sendable (Database) -> () -> Void) {
        pending.add()
        pool.asyncWriteWithoutTransaction { [self] db in
            pending.remove()
            let hasTurn = turn?.take(within: fairnessTimeout) ?? false
            let tell = transaction(db)
            let wait = hasTurn ? turn?.release() : nil
            tell()
            if let wait, !pending.wait(atMost: wait) { turn?.releaseKept() }
        }
    }
}

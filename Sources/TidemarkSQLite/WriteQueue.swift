import GRDB
import Synchronization
import Tidemark

/// Runs transactions on the one connection that writes, one after the other, each in this process's turn.
///
/// They run on a thread of the connection's own, which may wait for its turn and for SQLite's lock; or, where there is
/// nothing to wait for, on the thread of whoever asks, as far as ``CallerThreadUse`` allows. A thread of Swift's pool is
/// then kept from other tasks for as long as one transaction takes, of which the last one was quick, and never by a lock.
final class WriteQueue: Sendable {
    private let pool: DatabasePool
    /// Nil in a store that only reads.
    private let turn: WriteTurn?
    private let fairnessTimeout: Duration
    private let pending = PendingWrites()
    private let callerThread = Mutex(CallerThreadUse())
    private let now: @Sendable () -> Duration

    init(
        pool: DatabasePool, turn: WriteTurn?, fairnessTimeout: Duration,
        now: @escaping @Sendable () -> Duration = SQLiteConfiguration.systemAwakeTime
    ) {
        self.pool = pool
        self.turn = turn
        self.fairnessTimeout = fairnessTimeout
        self.now = now
    }

    var isReadOnly: Bool { turn == nil }

    /// - Parameter transaction: runs in this process's turn, or when that has not come in time. What it returns tells
    ///   the callers, when the turn is over already: others need not wait for that.
    func run(_ transaction: @escaping @Sendable (Database) -> () -> Void) {
        pending.add()
        pool.asyncWriteWithoutTransaction { [self] db in
            pending.begin()
            let hasTurn = turn?.take(within: fairnessTimeout) ?? false
            let rowsBefore = Self.changedRows(db)
            let start = now()
            let tell = transaction(db)
            let end = now()
            callerThread.withLock { $0.ranElsewhere(for: end - start) }
            guard hasTurn, let turn, let wait = turn.release(rows: Self.changedRows(db) - rowsBefore) else {
                // Before the callers hear of it: what they write next may run on their own threads.
                pending.end()
                return tell()
            }
            tell()
            if !pending.wait(atMost: wait) { turn.releaseKept() }
            pending.end()
        }
    }

    /// Runs the transaction on this thread, if there is nothing to wait for and the last one was quick; nil where it did
    /// not run.
    ///
    /// - Parameter transaction: returns nil, and has done nothing, where SQLite's lock was not free.
    func runHere<Value>(_ transaction: (Database) -> Value?) -> Value? {
        guard let turn, pending.beginAlone() else { return nil }
        defer { pending.end() }
        guard callerThread.withLock({ $0.mayBegin }) else { return nil }
        return pool.writeWithoutTransaction { db in
            guard turn.takeIfFree() else { return nil }
            defer { turn.releaseAtOnce() }
            let start = now()
            let value = transaction(db)
            let end = now()
            callerThread.withLock { $0.ranHere(for: end - start) }
            return value
        }
    }

    /// For tests: what holds the connection here is waited for, on its own thread.
    func runWithoutTurn(_ body: @escaping @Sendable (Database) -> Void) {
        pending.add()
        pool.asyncWriteWithoutTransaction { [self] db in
            pending.begin()
            body(db)
            pending.end()
        }
    }

    /// Since the connection was opened; 0 when it is closed.
    private static func changedRows(_ db: Database) -> Int {
        db.sqliteConnection == nil ? 0 : db.totalChangesCount
    }
}

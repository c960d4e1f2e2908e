/// Gives the writers of one database file, in all processes, their turns in the order in which they come.
///
/// SQLite's busy handler sleeps and tries again, so whoever writes without pause starves the others. Writers therefore
/// queue on two file locks of their own around each transaction: take "next", take "turn", release "next", write,
/// release "turn". One lock is not fair enough: whoever releases it can take it again before a waiter wakes up. With
/// two, it has to queue for "next" first, while the one that holds "next" is the only one that waits for "turn".
///
/// The locks serve fairness and nothing else: correctness is SQLite's. So a turn that does not come in time is done
/// without, see ``WriteSchedule``.
final class WriteTurn: Sendable {
    private let next: FileLock
    private let turn: FileLock

    /// Both files are in the store's folder, which must exist.
    init(directory: String, owner: FileOwner? = nil) throws {
        next = try FileLock(path: directory + "/next.lock", owner: owner)
        turn = try FileLock(path: directory + "/turn.lock", owner: owner)
    }

    /// Takes the turn if it can be had without waiting at all.
    func takeIfFree() -> Bool {
        guard next.tryLock() else { return false }
        defer { next.unlock() }
        return turn.tryLock()
    }

    /// Blocks the thread until the turn is there, without any limit.
    func take() {
        next.lock()
        turn.lock()
        next.unlock()
    }

    func release() { turn.unlock() }

    /// Whether somebody waits for it: whoever does holds "next".
    var isWanted: Bool {
        guard next.tryLock() else { return true }
        next.unlock()
        return false
    }
}

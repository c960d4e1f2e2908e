import DequeModule

/// What a process writes next, on which thread, and what becomes of its turn among the processes: a state machine
/// without I/O.
///
/// The process has one thread that waits for turns. With a turn it writes what waits; then the turn may be kept for a
/// moment, for what follows at once, see ``TurnLength``. What follows may run on the thread of its own caller.
///
/// A job is in the queue until its transaction has begun: it is chosen when SQLite's lock is there, and until then its
/// caller may take it back, or its deadline may pass. So one wait for the lock serves all that wait. Deadlines pass while
/// the lock is waited for, and while a transaction of the same process has it, however long that takes.
struct WriteSchedule<Job> {
    private enum Turn {
        /// There is none, and the thread does not wait for one.
        case none
        /// The thread waits for it.
        case asked(since: Duration)
        /// It did not come in time: the process that has it is likely stopped. Until it comes everything is written without.
        case overdue
        /// It is used by a transaction, or by a wait for SQLite's lock.
        case held(TurnLength)
        /// It is between two transactions.
        case kept(TurnLength, until: Duration)
    }

    private struct Waiting {
        let number: Int
        let deadline: Duration
        let job: Job
    }

    private var turn = Turn.none
    /// Those that go before all others.
    private var urgent: Deque<Waiting> = []
    private var ordinary: Deque<Waiting> = []
    /// Whether something is written, or is about to be, without a turn: one job at a time.
    private var isWritingWithout = false
    /// Whether a transaction of this process runs. Then nothing waits for SQLite's lock, which otherwise is where the deadlines
    /// are looked at.
    private var isInTransaction = false
    /// For when a look at the deadlines was arranged. Invariant: no job in the queue has an earlier deadline.
    private var arrangedLook: Duration?
    private var lastNumber = 0

    /// Whether no job waits to be written.
    var isEmpty: Bool { urgent.isEmpty && ordinary.isEmpty }

    /// Whether nothing is written or waits to be.
    var isIdle: Bool {
        if case .held = turn { return false }
        return isEmpty && !isWritingWithout
    }

    /// Whether the thread may end: what comes later wakes another. Not while a turn is kept, which it has to give back.
    var needsNoThread: Bool {
        if case .none = turn { return isEmpty }
        return false
    }

    // MARK: The queue

    enum Start: Hashable {
        /// Wake the thread.
        case thread
        /// Begin to write without a turn; ``endWithoutTurn()`` follows.
        case withoutTurn
        /// Nothing: what writes without a turn already goes on with it.
        case nothing
    }

    /// Puts the job last in the queue, or last of those that go before all others.
    mutating func add(_ job: Job, deadline: Duration, isUrgent: Bool = false) -> (number: Int, start: Start) {
        lastNumber += 1
        let waiting = Waiting(number: lastNumber, deadline: deadline, job: job)
        if isUrgent { urgent.append(waiting) } else { ordinary.append(waiting) }
        // One that is too late for this job counts for nothing when it comes.
        if let look = arrangedLook, deadline < look { arrangedLook = nil }
        guard case .overdue = turn else { return (lastNumber, .thread) }
        defer { isWritingWithout = true }
        return (lastNumber, isWritingWithout ? .nothing : .withoutTurn)
    }

    /// Takes a job out of the queue that nobody waits for any more; nil where its transaction has begun.
    mutating func withdraw(_ number: Int) -> Job? {
        Self.remove(number, from: &ordinary) ?? Self.remove(number, from: &urgent)
    }

    /// SQLite's lock is there: the job whose transaction begins with it. Nil where none waits any more.
    mutating func takeNext() -> Job? {
        guard let next = urgent.popFirst() ?? ordinary.popFirst() else { return nil }
        isInTransaction = true
        return next.job
    }

    /// Takes the jobs out of the queue that have waited for long enough.
    mutating func takeExpired(at now: Duration) -> [Job] {
        func take(from queue: inout Deque<Waiting>) -> [Job] {
            guard queue.contains(where: { $0.deadline <= now }) else { return [] }
            let expired = queue.filter { $0.deadline <= now }
            queue.removeAll { $0.deadline <= now }
            return expired.map(\.job)
        }
        return take(from: &urgent) + take(from: &ordinary)
    }

    /// When the next of those that wait will have waited for long enough.
    var earliestDeadline: Duration? {
        (urgent.lazy.map(\.deadline).min()).map { min($0, ordinary.lazy.map(\.deadline).min() ?? $0) }
            ?? ordinary.lazy.map(\.deadline).min()
    }

    /// When to look at the deadlines, because a transaction runs and something waits behind it: ``look(arrangedFor:at:)``
    /// follows then. Nil where there is nothing to look at, and where an earlier look is arranged already.
    ///
    /// To be asked after a job was added, a transaction began, or a look was had.
    mutating func arrangeLook() -> Duration? {
        guard isInTransaction, arrangedLook == nil, let deadline = earliestDeadline else { return nil }
        arrangedLook = deadline
        return deadline
    }

    /// Takes the jobs out of the queue that have waited for long enough behind a transaction of this process.
    ///
    /// None where no transaction runs any more: the wait for SQLite's lock looks at the deadlines.
    mutating func look(arrangedFor time: Duration, at now: Duration) -> [Job] {
        guard arrangedLook == time else { return [] }
        arrangedLook = nil
        return isInTransaction ? takeExpired(at: now) : []
    }

    /// Numbers ascend, so that many who leave at once do not look at everybody.
    private static func remove(_ number: Int, from queue: inout Deque<Waiting>) -> Job? {
        var low = 0
        var high = queue.count
        while low < high {
            let middle = low + (high - low) / 2
            if queue[middle].number < number { low = middle + 1 } else { high = middle }
        }
        return low < queue.count && queue[low].number == number ? queue.remove(at: low).job : nil
    }

    // MARK: The thread

    enum Step: Hashable {
        /// The turn is there: wait for SQLite's lock and write; ``end(at:rows:isWanted:)`` follows.
        case write
        /// Wait for the turn; ``tookTurn(at:)`` follows.
        case takeTurn
        /// Give the turn back, and ask again.
        case releaseTurn
        /// There is nothing to do until somebody wakes the thread, or until this time.
        case wait(until: Duration?)
    }

    mutating func nextStep(at now: Duration) -> Step {
        switch turn {
        case .asked, .overdue:
            preconditionFailure("the thread waits for its turn")
        case .none:
            if isEmpty { return .wait(until: nil) }
            turn = .asked(since: now)
            return .takeTurn
        case .held:
            // By a caller, which wakes the thread for what waits, and for a turn that it keeps.
            return .wait(until: nil)
        case .kept(let length, let end):
            // Late: the machine was busy. Others have waited for as long as was promised to them.
            if now >= end {
                turn = .none
                return .releaseTurn
            }
            if !isEmpty {
                turn = .held(length.withTransaction(at: now))
                return .write
            }
            return .wait(until: end)
        }
    }

    /// The turn is there. Whether something is to be written with it: ``end(at:rows:isWanted:)`` follows. Otherwise it is
    /// to be given back: it came too late, or nothing waits any more.
    mutating func tookTurn(at now: Duration) -> Bool {
        guard case .asked = turn, !isEmpty else {
            turn = .none
            return false
        }
        turn = .held(TurnLength(at: now))
        return true
    }

    /// Whether the thread has waited for its turn for as long as `limit`, so that it is done without from now on, and
    /// whether to begin with that; ``endWithoutTurn()`` follows then. Otherwise how long it has waited, and nil if it does
    /// not wait.
    mutating func overdue(at now: Duration, limit: Duration) -> (begins: Bool, waited: Duration?) {
        guard case .asked(let since) = turn else { return (false, nil) }
        guard now - since >= limit else { return (false, now - since) }
        turn = .overdue
        let begins = !isEmpty && !isWritingWithout
        if begins { isWritingWithout = true }
        return (begins, nil)
    }

    /// A transaction without a turn is over. Whether to go on with another.
    mutating func endWithoutTurn() -> Bool {
        isInTransaction = false
        if case .overdue = turn, !isEmpty { return true }
        isWritingWithout = false
        return false
    }

    // MARK: Other threads

    /// Whether one that comes now may be written at once, on its own thread; ``end(at:rows:isWanted:)`` follows.
    ///
    /// - Parameter takeIfFree: takes the turn, if it is free.
    mutating func beginHere(at now: Duration, takeIfFree: () -> Bool) -> Bool {
        guard isEmpty, !isWritingWithout else { return false }
        switch turn {
        case .asked, .overdue, .held: return false
        case .none:
            guard takeIfFree() else { return false }
            turn = .held(TurnLength(at: now))
        case .kept(let length, let end):
            guard now < end else { return false }
            turn = .held(length.withTransaction(at: now))
        }
        isInTransaction = true
        return true
    }

    // MARK: The end of a transaction

    struct End: Equatable {
        /// Whether to give the turn back.
        var releasesTurn: Bool
        /// Whether to wake the thread: something waits, or the turn is kept and has to be given back.
        var wakesThread: Bool
    }

    /// A transaction is over that had the turn, or a wait for SQLite's lock after which there was none.
    ///
    /// - Parameters:
    ///   - rows: how many it changed.
    ///   - onThread: whether it ran on the thread, which asks for the next step at once.
    ///   - isWanted: whether somebody else waits for the turn. Where nobody does, there is nobody to keep it from.
    mutating func end(at now: Duration, rows: Int, onThread: Bool, isWanted: () -> Bool) -> End {
        guard case .held(let length) = turn else { preconditionFailure("only a turn that is used is ended") }
        isInTransaction = false
        if let wait = length.wait(afterTransactionAt: now, rows: rows), isWanted() {
            turn = .kept(length, until: now + wait)
            return End(releasesTurn: false, wakesThread: !onThread)
        }
        turn = .none
        return End(releasesTurn: true, wakesThread: !onThread && !isEmpty)
    }
}

import DequeModule

/// What a process writes next, on which thread, and what becomes of its turn among the processes: a state machine
/// without I/O.
///
/// The process has one thread that waits for turns. With a turn it writes what waits; then the turn may be kept for a
/// moment, for what follows at once, see ``TurnLength``. What follows may run on the thread of its own caller.
struct WriteSchedule<Job> {
    private enum Turn {
        /// There is none, and the thread does not wait for one.
        case none
        /// The thread waits for it.
        case asked(since: Duration)
        /// It did not come in time: whoever has it is likely stopped. Until it comes everything is written without.
        case overdue
        /// It is used by a transaction.
        case held(TurnLength)
        /// It is between two transactions.
        case kept(TurnLength, until: Duration)
    }

    private var turn = Turn.none
    private var waiting: Deque<Job> = []
    /// How many are written, or are about to be, without a turn.
    private var withoutTurn = 0

    /// Whether nothing is written or waits to be.
    var isIdle: Bool {
        guard waiting.isEmpty, withoutTurn == 0 else { return false }
        switch turn {
        case .none, .overdue, .kept: return true
        case .asked, .held: return false
        }
    }

    /// Puts the job last in the queue. False where it is to be written at once, without a turn; then
    /// ``endWithoutTurn()`` follows.
    mutating func add(_ job: Job) -> Bool {
        if case .overdue = turn {
            withoutTurn += 1
            return false
        }
        waiting.append(job)
        return true
    }

    // MARK: The thread

    enum Step {
        /// The turn is there; ``end(at:rows:isWanted:)`` follows.
        case write(Job)
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
            if waiting.isEmpty { return .wait(until: nil) }
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
            if !waiting.isEmpty {
                turn = .held(length.withTransaction(at: now))
                return .write(waiting.removeFirst())
            }
            return .wait(until: end)
        }
    }

    /// The turn is there. Nil where it is to be given back: it came too late.
    mutating func tookTurn(at now: Duration) -> Job? {
        defer { if case .overdue = turn { turn = .none } }
        guard case .asked = turn else { return nil }
        turn = .held(TurnLength(at: now))
        return waiting.removeFirst()
    }

    /// What is to be written without a turn, if the thread has waited for it for as long as `limit`; otherwise how long
    /// it has waited, and nil if it does not.
    mutating func overdue(at now: Duration, limit: Duration) -> (jobs: [Job], waited: Duration?) {
        guard case .asked(let since) = turn else { return ([], nil) }
        guard now - since >= limit else { return ([], now - since) }
        turn = .overdue
        withoutTurn += waiting.count
        defer { waiting = [] }
        return (Array(waiting), nil)
    }

    /// A transaction without a turn is over.
    mutating func endWithoutTurn() { withoutTurn -= 1 }

    // MARK: Other threads

    /// Whether one that comes now may be written at once, on its own thread; ``end(at:rows:isWanted:)`` follows.
    ///
    /// - Parameter takeIfFree: takes the turn, if it is free.
    mutating func beginHere(at now: Duration, takeIfFree: () -> Bool) -> Bool {
        guard waiting.isEmpty, withoutTurn == 0 else { return false }
        switch turn {
        case .asked, .overdue, .held: return false
        case .none:
            guard takeIfFree() else { return false }
            turn = .held(TurnLength(at: now))
        case .kept(let length, let end):
            guard now < end else { return false }
            turn = .held(length.withTransaction(at: now))
        }
        return true
    }

    // MARK: The end of a transaction

    struct End: Equatable {
        /// Whether to give the turn back.
        var releasesTurn: Bool
        /// Whether to wake the thread: something waits, or the turn is kept and has to be given back.
        var wakesThread: Bool
    }

    /// A transaction is over that had the turn.
    ///
    /// - Parameters:
    ///   - rows: how many it changed.
    ///   - onThread: whether it ran on the thread, which asks for the next step at once.
    ///   - isWanted: whether somebody else waits for the turn. Where nobody does, there is nobody to keep it from.
    mutating func end(at now: Duration, rows: Int, onThread: Bool, isWanted: () -> Bool) -> End {
        guard case .held(let length) = turn else { preconditionFailure("only a turn that is used is ended") }
        if let wait = length.wait(afterTransactionAt: now, rows: rows), isWanted() {
            turn = .kept(length, until: now + wait)
            return End(releasesTurn: false, wakesThread: !onThread)
        }
        turn = .none
        return End(releasesTurn: true, wakesThread: !onThread && !waiting.isEmpty)
    }
}

import Testing
@testable import TidemarkSQLite

@Suite struct WriteScheduleTests {
    private static let large = TurnLength.largeTransaction
    private static let rest = WriteSchedule<String>.End(releasesTurn: true, wakesThread: false)

    @Test func `what waits is written in its order, with a turn for each`() {
        let schedule = Schedule()
        #expect(schedule.isIdle)
        #expect(schedule.nextStep(at: .zero) == .wait(until: nil))
        for job in ["a", "b"] { #expect(schedule.add(job) == .thread) }
        #expect(!schedule.isIdle)
        for job in ["a", "b"] {
            #expect(schedule.nextStep(at: .zero) == .takeTurn)
            #expect(schedule.tookTurn(at: .zero) == job)
            #expect(schedule.end(at: .zero, rows: 1, onThread: true, isWanted: true) == Self.rest)
        }
        #expect(schedule.nextStep(at: .zero) == .wait(until: nil))
        #expect(schedule.isIdle)
    }

    @Test func `one runs on its caller's thread only where nothing waits or is written, and the turn is free`() {
        let schedule = Schedule()
        #expect(!schedule.beginHere(at: .zero, isFree: false))
        #expect(schedule.isIdle)
        #expect(schedule.beginHere(at: .zero, isFree: true))
        #expect(!schedule.isIdle)
        #expect(!schedule.beginHere(at: .zero, isFree: true))
        #expect(schedule.end(at: .zero, rows: 1, onThread: false, isWanted: true) == Self.rest)
        _ = schedule.add("a")
        #expect(!schedule.beginHere(at: .zero, isFree: true), "it waits for its turn behind the other")
        _ = schedule.nextStep(at: .zero)
        #expect(!schedule.beginHere(at: .zero, isFree: true))
        #expect(schedule.tookTurn(at: .zero) == "a")
        #expect(!schedule.beginHere(at: .zero, isFree: true))
    }

    @Test func `what comes while a caller writes is left to the thread`() {
        let schedule = Schedule()
        #expect(schedule.beginHere(at: .zero, isFree: true))
        #expect(schedule.add("a") == .thread)
        #expect(schedule.nextStep(at: .zero) == .wait(until: nil))
        #expect(
            schedule.end(at: .zero, rows: 1, onThread: false, isWanted: false)
                == .init(releasesTurn: true, wakesThread: true))
        #expect(schedule.nextStep(at: .zero) == .takeTurn)
    }

    // MARK: A turn that is kept

    @Test(arguments: [true, false])
    func `after large transactions the turn is kept for the next ones, up to a bound, while others want it`(
        onThread: Bool
    ) {
        let schedule = Schedule()
        var now = Duration.zero
        _ = schedule.add("a")
        _ = schedule.nextStep(at: now)
        #expect(schedule.tookTurn(at: now) == "a")
        var transactions = 1
        var isOnThread = true
        while true {
            now += .microseconds(400)
            let end = schedule.end(at: now, rows: Self.large, onThread: isOnThread, isWanted: true)
            if end.releasesTurn { break }
            // The thread looks after it; a caller that comes meanwhile has it at once.
            #expect(end.wakesThread == !isOnThread)
            #expect(schedule.nextStep(at: now) == .wait(until: now + .microseconds(400) / TurnLength.waitFraction))
            if onThread {
                #expect(schedule.add("next") == .thread)
                #expect(schedule.nextStep(at: now) == .write)
                #expect(schedule.takeNext() == "next")
            } else {
                isOnThread = false
                #expect(schedule.beginHere(at: now, isFree: false))
                #expect(schedule.nextStep(at: now) == .wait(until: nil))
            }
            transactions += 1
        }
        #expect(transactions == TurnLength.maximumTransactions)
        #expect(schedule.nextStep(at: now) == .wait(until: nil))
    }

    @Test func `a turn that is kept ends in time, whoever comes late`() {
        let schedule = Schedule()
        _ = schedule.add("a")
        _ = schedule.nextStep(at: .zero)
        _ = schedule.tookTurn(at: .zero)
        _ = schedule.end(at: .microseconds(400), rows: Self.large, onThread: true, isWanted: true)
        #expect(!schedule.beginHere(at: .microseconds(500), isFree: false))
        #expect(schedule.add("late") == .thread)
        #expect(schedule.nextStep(at: .microseconds(500)) == .releaseTurn)
        #expect(schedule.nextStep(at: .microseconds(500)) == .takeTurn)
        #expect(schedule.tookTurn(at: .microseconds(900)) == "late")
    }

    @Test func `a turn that was kept for nothing is given back`() {
        let schedule = Schedule()
        _ = schedule.add("a")
        _ = schedule.nextStep(at: .zero)
        _ = schedule.tookTurn(at: .zero)
        #expect(
            schedule.end(at: .microseconds(400), rows: Self.large, onThread: true, isWanted: true)
                == .init(releasesTurn: false, wakesThread: false))
        #expect(schedule.isIdle)
        #expect(schedule.nextStep(at: .microseconds(400)) == .wait(until: .microseconds(500)))
        #expect(schedule.nextStep(at: .microseconds(500)) == .releaseTurn)
        #expect(schedule.nextStep(at: .microseconds(500)) == .wait(until: nil))
    }

    @Test func `nothing is kept from nobody`() {
        let schedule = Schedule()
        _ = schedule.add("a")
        _ = schedule.nextStep(at: .zero)
        _ = schedule.tookTurn(at: .zero)
        #expect(schedule.end(at: .microseconds(400), rows: Self.large, onThread: true, isWanted: false) == Self.rest)
        #expect(schedule.beginHere(at: .microseconds(400), isFree: true))
        #expect(schedule.end(at: .microseconds(800), rows: Self.large, onThread: false, isWanted: false) == Self.rest)
    }

    @Test func `a turn in which a caller writes is kept for what waits`() {
        let schedule = Schedule()
        #expect(schedule.beginHere(at: .zero, isFree: true))
        _ = schedule.add("a")
        #expect(
            schedule.end(at: .microseconds(400), rows: Self.large, onThread: false, isWanted: true)
                == .init(releasesTurn: false, wakesThread: true))
        #expect(schedule.nextStep(at: .microseconds(400)) == .write)
        #expect(schedule.takeNext() == "a")
    }

    // MARK: A turn that does not come

    //  thread                     another thread             callers
    //                                                        add a, b
    //  asks for the turn
    //                             overdue: writes a
    //                                                        add c
    //                             goes on with b, c
    //                                                        add d: begins again
    //  the turn comes: too late
    //                                                        add e
    //                             has written d
    //  asks for the turn
    @Test func `without a turn that is overdue everything is written, one after the other, until it comes`() {
        let schedule = Schedule()
        for job in ["a", "b"] { _ = schedule.add(job) }
        #expect(schedule.nextStep(at: .seconds(1)) == .takeTurn)
        #expect(schedule.overdue(at: .seconds(1.5), limit: .seconds(1)) == (begins: false, waited: .seconds(0.5)))
        #expect(schedule.overdue(at: .seconds(2), limit: .seconds(1)) == (begins: true, waited: nil))
        #expect(!schedule.isIdle)
        #expect(schedule.takeNext() == "a")
        #expect(schedule.add("c") == .nothing)
        #expect(!schedule.beginHere(at: .seconds(2), isFree: true))
        for job in ["b", "c"] {
            #expect(schedule.endWithoutTurn())
            #expect(schedule.takeNext() == job)
        }
        #expect(!schedule.endWithoutTurn())
        #expect(schedule.isIdle)
        #expect(!schedule.beginHere(at: .seconds(2), isFree: true), "the thread may get the turn at any moment")
        #expect(schedule.add("d") == .withoutTurn)
        #expect(schedule.takeNext() == "d")
        #expect(schedule.tookTurn(at: .seconds(3)) == nil)
        #expect(schedule.add("e") == .thread)
        #expect(!schedule.endWithoutTurn(), "it is the thread's")
        #expect(schedule.nextStep(at: .seconds(3)) == .takeTurn)
        #expect(schedule.tookTurn(at: .seconds(3)) == "e")
    }

    @Test func `nothing is overdue that nobody waits for`() {
        let schedule = Schedule()
        #expect(schedule.overdue(at: .seconds(9), limit: .zero) == (begins: false, waited: nil))
        _ = schedule.add("a")
        _ = schedule.nextStep(at: .seconds(9))
        #expect(schedule.tookTurn(at: .seconds(9)) == "a")
        #expect(schedule.overdue(at: .seconds(99), limit: .zero) == (begins: false, waited: nil))
    }

    @Test func `none runs on its caller's thread while others are written without a turn`() {
        let schedule = Schedule()
        _ = schedule.add("a")
        _ = schedule.nextStep(at: .zero)
        _ = schedule.overdue(at: .zero, limit: .zero)
        #expect(schedule.takeNext() == "a")
        #expect(schedule.tookTurn(at: .zero) == nil)
        #expect(!schedule.beginHere(at: .zero, isFree: true))
        #expect(!schedule.endWithoutTurn())
        #expect(schedule.beginHere(at: .zero, isFree: true))
    }

    // MARK: What waits for SQLite's lock

    @Test func `what is urgent goes before what was there, and after what was urgent before`() {
        let schedule = Schedule()
        for job in ["a", "b"] { _ = schedule.add(job) }
        for job in ["beat", "other beat"] { _ = schedule.add(job, isUrgent: true) }
        #expect((0..<5).map { _ in schedule.takeNext() } == ["beat", "other beat", "a", "b", nil])
    }

    @Test func `each job has a deadline of its own, and those that were given back are gone`() {
        let schedule = Schedule()
        let numbers = (1...6).map { schedule.number("\($0)", deadline: .seconds($0)) }
        #expect(schedule.earliestDeadline == .seconds(1))
        #expect(schedule.withdraw(numbers[1]) == "2")
        #expect(schedule.withdraw(numbers[1]) == nil)
        #expect(schedule.takeExpired(at: .seconds(3)) == ["1", "3"])
        #expect(schedule.withdraw(numbers[2]) == nil)
        #expect(schedule.earliestDeadline == .seconds(4))
        #expect(schedule.takeNext() == "4")
        #expect(schedule.withdraw(numbers[3]) == nil, "it has begun")
        #expect(schedule.takeExpired(at: .seconds(9)) == ["5", "6"])
        #expect(schedule.earliestDeadline == nil && schedule.isIdle)
    }

    //  queue                      a transaction
    //  adds 1, 5, 3
    //                             1 begins: look at 3
    //                             still runs at 3: 3 fails, look at 5
    //  adds 4: look at 4
    //                             ends
    //  nobody looks: whoever waits for the lock does
    @Test(arguments: [true, false])
    func `while a transaction runs somebody looks at the deadlines of what waits, at the right times`(hasTurn: Bool) {
        let schedule = Schedule()
        for deadline in [1, 5, 3] { _ = schedule.number("\(deadline)", deadline: .seconds(deadline)) }
        #expect(schedule.arrangeLook() == nil, "nothing runs: whoever waits for the lock looks")
        _ = schedule.nextStep(at: .zero)
        if hasTurn {
            #expect(schedule.tookTurn(at: .zero) == "1")
        } else {
            #expect(schedule.overdue(at: .zero, limit: .zero).begins)
            #expect(schedule.takeNext() == "1")
        }
        #expect(schedule.arrangeLook() == .seconds(3))
        #expect(schedule.arrangeLook() == nil, "it is arranged")
        _ = schedule.number("6", deadline: .seconds(6))
        #expect(schedule.arrangeLook() == nil, "it comes in time for this one too")
        #expect(schedule.look(arrangedFor: .seconds(3), at: .seconds(3)) == ["3"])
        #expect(schedule.arrangeLook() == .seconds(5))
        _ = schedule.number("4", deadline: .seconds(4))
        #expect(schedule.arrangeLook() == .seconds(4))
        #expect(schedule.look(arrangedFor: .seconds(5), at: .seconds(5)) == [], "another was arranged for it")
        if hasTurn {
            _ = schedule.end(at: .seconds(3), rows: 1, onThread: true, isWanted: false)
        } else {
            #expect(schedule.endWithoutTurn())
        }
        #expect(schedule.look(arrangedFor: .seconds(4), at: .seconds(4)) == [])
        #expect(schedule.arrangeLook() == nil)
        #expect(schedule.takeExpired(at: .seconds(4)) == ["4"])
        #expect(schedule.takeNext() == "5")
        #expect(schedule.arrangeLook() == .seconds(6))
    }

    @Test func `what waits behind a transaction on its caller's thread has its deadline, and one alone needs no look`()
    {
        let schedule = Schedule()
        #expect(schedule.beginHere(at: .zero, isFree: true))
        #expect(schedule.arrangeLook() == nil)
        _ = schedule.number("a", deadline: .seconds(1))
        #expect(schedule.arrangeLook() == .seconds(1))
        #expect(schedule.look(arrangedFor: .seconds(1), at: .seconds(0.9)) == [], "the timer was early")
        #expect(schedule.arrangeLook() == .seconds(1))
        #expect(schedule.look(arrangedFor: .seconds(1), at: .seconds(1)) == ["a"])
        #expect(schedule.arrangeLook() == nil)
        #expect(schedule.end(at: .seconds(2), rows: 1, onThread: false, isWanted: false) == Self.rest)
        #expect(schedule.isIdle)
    }

    @Test func `a turn that comes when all have gone is given back`() {
        let schedule = Schedule()
        let number = schedule.number("a", deadline: .seconds(1))
        #expect(schedule.nextStep(at: .zero) == .takeTurn)
        #expect(schedule.withdraw(number) == "a")
        #expect(schedule.tookTurn(at: .zero) == nil)
        #expect(schedule.nextStep(at: .zero) == .wait(until: nil))
    }

    @Test func `the thread does not end while a turn is kept, which it has to give back`() {
        let schedule = Schedule()
        #expect(schedule.needsNoThread)
        #expect(schedule.beginHere(at: .zero, isFree: true))
        #expect(schedule.nextStep(at: .zero) == .wait(until: nil))
        _ = schedule.end(at: .microseconds(400), rows: Self.large, onThread: false, isWanted: true)
        // The thread has waited for its time, and did not see that it was woken.
        #expect(schedule.isIdle && !schedule.needsNoThread)
        #expect(schedule.nextStep(at: .microseconds(500)) == .releaseTurn)
        #expect(schedule.needsNoThread)
    }
}

/// A schedule, and whether the turn is free and wanted.
private final class Schedule {
    private var schedule = WriteSchedule<String>()

    var isIdle: Bool { schedule.isIdle }
    var needsNoThread: Bool { schedule.needsNoThread }
    var earliestDeadline: Duration? { schedule.earliestDeadline }
    func add(_ job: String, isUrgent: Bool = false) -> WriteSchedule<String>.Start {
        schedule.add(job, deadline: .seconds(1000), isUrgent: isUrgent).start
    }
    func number(_ job: String, deadline: Duration) -> Int { schedule.add(job, deadline: deadline).number }
    func withdraw(_ number: Int) -> String? { schedule.withdraw(number) }
    func takeNext() -> String? { schedule.takeNext() }
    func takeExpired(at now: Duration) -> [String] { schedule.takeExpired(at: now) }
    func arrangeLook() -> Duration? { schedule.arrangeLook() }
    func look(arrangedFor time: Duration, at now: Duration) -> [String] { schedule.look(arrangedFor: time, at: now) }
    func nextStep(at now: Duration) -> WriteSchedule<String>.Step { schedule.nextStep(at: now) }
    /// The job that is written then.
    func tookTurn(at now: Duration) -> String? { schedule.tookTurn(at: now) ? schedule.takeNext() : nil }
    func overdue(at now: Duration, limit: Duration) -> (begins: Bool, waited: Duration?) {
        schedule.overdue(at: now, limit: limit)
    }
    func endWithoutTurn() -> Bool { schedule.endWithoutTurn() }
    func beginHere(at now: Duration, isFree: Bool) -> Bool { schedule.beginHere(at: now) { isFree } }
    func end(at now: Duration, rows: Int, onThread: Bool, isWanted: Bool) -> WriteSchedule<String>.End {
        schedule.end(at: now, rows: rows, onThread: onThread) { isWanted }
    }
}

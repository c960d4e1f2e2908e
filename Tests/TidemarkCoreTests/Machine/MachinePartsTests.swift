import Testing

@testable import TidemarkCore

private let p1 = Writer("p1", epoch: 1)

/// `#expect` takes what it looks into apart, which what changes by the question does not allow.
private func check(_ holds: Bool, _ comment: Comment? = nil, sourceLocation: SourceLocation = #_sourceLocation) {
    #expect(holds, comment, sourceLocation: sourceLocation)
}

@Suite struct AbandonmentsTests {
    private static func made() -> Abandonments {
        var abandonments = Abandonments()
        abandonments.add([7, 8], scope: 1, of: Incarnation(3), isLate: false, now: .seconds(1))
        return abandonments
    }

    @Test func `the database is asked at once, and not again while it is`() {
        var abandonments = Self.made()
        check(abandonments.nextDeadline == .seconds(1))
        let due = abandonments.takeDue(now: .seconds(1))
        check(
            due.map(\.ids) == [[7, 8]] && due.map(\.isFirst) == [true] && due.map(\.incarnation) == [Incarnation(3)])
        check(abandonments.nextDeadline == nil && abandonments.takeDue(now: .seconds(99)).isEmpty)
    }

    @Test func `after a failure it is asked again, later each time, up to half a minute`() {
        var abandonments = Self.made()
        var now = Duration.seconds(1)
        var delays: [Duration] = []
        for _ in 0..<14 {
            let due = abandonments.takeDue(now: now)
            check(due.count == 1 && due[0].isFirst == delays.isEmpty)
            abandonments.failed(1, isLast: false, random: 0, now: now)
            guard let next = abandonments.nextDeadline else { return check(Bool(false), "nothing is asked again") }
            delays.append(next - now)
            check(abandonments.takeDue(now: next - .milliseconds(1)).isEmpty)
            now = next
        }
        check(delays.first == .milliseconds(25) && delays.last == .seconds(15) && delays == delays.sorted())
    }

    @Test func `what came late is asked for once, and so is everything when nobody asks any more`() {
        var late = Abandonments()
        late.add([9], scope: 2, of: Incarnation(3), isLate: true, now: .zero)
        check(late.takeDue(now: .zero).map(\.isLate) == [true])
        late.failed(2, isLast: false, random: 0, now: .zero)
        check(late.isEmpty)
        var last = Self.made()
        _ = last.takeDue(now: .seconds(1))
        last.failed(1, isLast: true, random: 0, now: .seconds(1))
        check(last.isEmpty && last.settled(1) == nil)
    }

    @Test func `what was settled is told once`() {
        var abandonments = Self.made()
        let settled = abandonments.settled(1)
        check(settled?.ids == [7, 8] && settled?.isLate == false && settled?.incarnation == Incarnation(3))
        check(abandonments.settled(1) == nil && abandonments.isEmpty)
    }
}

@Suite struct OwnMembershipTests {
    @Test func `one joins at a time, and the others wait for it`() {
        var own = OwnMembership(writer: p1, fence: 1)
        check(own.rejoin(after: p1, random: 5) == .join(after: p1, nonce: 5))
        check(own.rejoin(after: p1, random: 6) == .wait)
        check(own.joined(Writer("p1", epoch: 3), fence: 9) && own.fence == 9)
        check(own.rejoin(after: p1, random: 7) == .joined(Writer("p1", epoch: 3)))
    }

    @Test func `an attempt whose answer was lost is made again with its nonce, and the next join draws another`() {
        var own = OwnMembership(writer: p1, fence: 1)
        _ = own.rejoin(after: p1, random: 5)
        own.joinFailed()
        check(own.rejoin(after: p1, random: 6) == .join(after: p1, nonce: 5))
        let second = Writer("p1", epoch: 3)
        _ = own.joined(second, fence: 1)
        check(own.rejoin(after: second, random: 7) == .join(after: second, nonce: 7))
    }

    @Test func `after the end nobody joins, and a join that was under way has to leave again`() {
        var own = OwnMembership(writer: p1, fence: 1)
        _ = own.rejoin(after: p1, random: 5)
        own.stop()
        check(!own.joined(Writer("p1", epoch: 3), fence: 1))
        check(own.rejoin(after: Writer("p1", epoch: 3), random: 6) == .stopped)
    }

    @Test func `a fence only rises, and only that of its own epoch`() {
        var own = OwnMembership(writer: p1, fence: 4)
        own.fenced(p1, at: 6)
        own.fenced(p1, at: 5)
        own.fenced(Writer("p1", epoch: 2), at: 8)
        check(own.fence == 6)
    }
}

@Suite struct ReconcileScheduleTests {
    private static func running(at now: Duration = .zero) -> ReconcileSchedule {
        var schedule = ReconcileSchedule(interval: .seconds(1), stallInterval: .milliseconds(100))
        schedule.run(now: now)
        return schedule
    }

    @Test func `what is heard within a moment is asked for once`() {
        var schedule = ReconcileSchedule(interval: .seconds(1), stallInterval: .milliseconds(100))
        schedule.soon(now: .milliseconds(3))
        schedule.soon(now: .milliseconds(9))
        check(schedule.nextDeadline == .milliseconds(23))
        check(!schedule.takeSoon(now: .milliseconds(22)) && schedule.takeSoon(now: .milliseconds(23)))
        check(!schedule.takeSoon(now: .seconds(9)) && schedule.nextDeadline == nil)
    }

    @Test func `after a failure only the regular one asks, until one has succeeded`() {
        var schedule = Self.running()
        check(schedule.takeLook(minimum: 5, known: 5, now: .zero) == (true, true))
        schedule.ended(succeeded: false)
        schedule.soon(now: .milliseconds(1))
        check(!schedule.takeSoon(now: .seconds(1)))
        check(schedule.takeLook(minimum: 5, known: 5, now: .seconds(1)) == (true, true))
        schedule.ended(succeeded: true)
        schedule.soon(now: .seconds(1))
        check(schedule.takeSoon(now: .seconds(2)))
    }

    @Test func `it asks regularly, sooner while the minimum stands still, and never twice at once`() {
        var schedule = Self.running()
        check(schedule.takeLook(minimum: 5, known: 9, now: .zero) == (true, true))
        check(schedule.takeLook(minimum: 5, known: 9, now: .milliseconds(100)) == (true, false), "one is under way")
        schedule.ended(succeeded: true)
        check(schedule.takeLook(minimum: 5, known: 9, now: .milliseconds(200)) == (true, true), "it stands still")
        schedule.ended(succeeded: true)
        check(schedule.takeLook(minimum: 9, known: 9, now: .milliseconds(300)) == (true, false))
        check(schedule.takeLook(minimum: 9, known: 9, now: .milliseconds(301)) == (false, false), "not yet")
        check(schedule.takeLook(minimum: 9, known: 9, now: .milliseconds(1300)) == (true, true))
    }

    @Test func `one that was stopped, or has no interval, asks for nothing`() {
        var stopped = Self.running()
        stopped.soon(now: .zero)
        stopped.stop()
        stopped.soon(now: .zero)
        check(stopped.nextDeadline == nil && !stopped.takeSoon(now: .seconds(9)))
        var never = ReconcileSchedule(interval: nil, stallInterval: .milliseconds(100))
        never.run(now: .zero)
        never.soon(now: .zero)
        check(never.nextDeadline == nil && !never.isRunning)
    }
}

@Suite struct HeartbeatScheduleTests {
    @Test func `heartbeats are written on a grid that all logs share, one at a time`() {
        var schedule = HeartbeatSchedule(interval: .seconds(1))
        schedule.run(now: .milliseconds(1300))
        check(schedule.nextAt == .seconds(2))
        check(!schedule.takeDue(now: .milliseconds(1999)) && schedule.takeDue(now: .milliseconds(2050)))
        check(schedule.nextAt == .seconds(3))
        check(!schedule.takeDue(now: .seconds(3)), "the first is not over")
        schedule.ended()
        check(schedule.takeDue(now: .seconds(4)))
        schedule.stop()
        check(schedule.nextAt == nil && !schedule.takeDue(now: .seconds(9)))
    }
}

@Suite struct StallWatchTests {
    @Test func `a minimum that stands still below something is told when the limit has passed, and each time again`() {
        var watch = StallWatch(limit: .seconds(1))
        check(!watch.isStalled(minimum: 5, known: 9, now: .zero))
        check(!watch.isStalled(minimum: 5, known: 9, now: .milliseconds(999)))
        check(watch.isStalled(minimum: 5, known: 9, now: .seconds(1)))
        check(!watch.isStalled(minimum: 5, known: 12, now: .milliseconds(1500)))
        check(watch.isStalled(minimum: 5, known: 12, now: .seconds(2)))
        check(watch.duration(now: .seconds(2)) == .seconds(2))
    }

    @Test func `one that moves, or has nothing above it, does not stand still`() {
        var watch = StallWatch(limit: .seconds(1))
        for second in 0..<9 {
            check(!watch.isStalled(minimum: StreamID(Int64(second)), known: 99, now: .seconds(second * 2)))
        }
        for second in 20..<29 { check(!watch.isStalled(minimum: 99, known: 99, now: .seconds(second))) }
        check(watch.duration(now: .seconds(30)) == .zero)
    }

    @Test func `each liar is named once a minute, and not the more often the more there are`() {
        var told = FalseNewsTold()
        check(told.isDue([p1], now: .zero) && !told.isDue([p1], now: .seconds(59)))
        let other = Writer("p2", epoch: 1)
        check(told.isDue([p1, other], now: .seconds(59)), "one of them is new")
        check(!told.isDue([p1], now: .seconds(60)) && told.isDue([p1], now: .seconds(119)))
    }
}

@Suite struct AnnouncerTests {
    private let speaker = Speaker(p1, nonce: 11)

    private func announcer(_ announcements: Announcements = .asNeeded(), rowLimit: Int = 10) -> Announcer {
        var announcer = Announcer(announcements, rowLimit: rowLimit)
        announcer.joined(as: speaker, at: 4)
        announcer.attached()
        announcer.connected(now: .zero)
        return announcer
    }

    private func tracker() -> PositionTracker {
        PositionTracker(instance: "p1", members: [p1: 4], version: 1, nonces: [p1: 11], sequence: 4)
    }

    @Test func `it speaks only as one that has joined, over a connection that works`() {
        var tracker = tracker()
        for drop: (inout Announcer) -> Void in [
            { $0.left() }, { $0.disconnected() }, { $0.detached() },
        ] {
            var announcer = announcer()
            drop(&announcer)
            check(announcer.look(at: &tracker, isAsked: true, now: .zero).message == nil)
        }
        var silent = announcer(.none)
        check(!silent.maySpeak && silent.look(at: &tracker, isAsked: true, now: .zero).message == nil)
        var speaks = announcer()
        check(
            speaks.look(at: &tracker, isAsked: true, now: .zero).message
                == .position(speaker, previous: 4, new: 4))
        check(speaks.counts.positions == 1)
    }

    @Test func `rows beyond the limit are not told one by one: a position says that there are some`() {
        var announcer = announcer(rowLimit: 2)
        var tracker = tracker()
        check(announcer.tells(2, through: 6) == speaker && announcer.counts.rows == 2)
        check(announcer.tells(3, through: 9) == nil && announcer.counts.rows == 2)
        guard case .position(_, let previous, let new) = announcer.look(at: &tracker, isAsked: true, now: .zero).message
        else { return check(Bool(false), "it says nothing") }
        check(previous == 9 && previous > new, "whoever hears it has to fetch")
    }

    @Test func `beside other software it is silent, asks after a quiet time, and then speaks`() {
        var announcer = announcer()
        var tracker = tracker()
        announcer.connecting(listening: .zero, quietTime: .seconds(60), now: .zero)
        check(announcer.heardOtherSoftware(now: .seconds(1)) && !announcer.maySpeak)
        check(announcer.look(at: &tracker, isAsked: true, now: .seconds(2)).message == nil)
        check(announcer.dueAt == .seconds(61))
        check(announcer.look(at: &tracker, isAsked: false, now: .seconds(61)).message == .question)
        let lookAt = announcer.dueAt ?? .zero
        let outcome = announcer.look(at: &tracker, isAsked: false, now: lookAt)
        check(outcome.speaksAgain && outcome.message == .position(speaker, previous: 4, new: 4))
    }
}

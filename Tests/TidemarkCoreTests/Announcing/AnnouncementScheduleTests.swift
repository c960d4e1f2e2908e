import Testing
import TidemarkCore

@Suite struct AnnouncementScheduleTests {
    private let timing = AnnouncementSchedule.Timing(interval: .milliseconds(5), repetition: .seconds(1))

    /// One that has announced 7 at time zero.
    private func schedule() -> AnnouncementSchedule {
        var schedule = AnnouncementSchedule(announced: 7)
        _ = schedule.next(position: 7, need: .none, timing: timing, now: .zero)
        return schedule
    }

    @Test func `the first word is spoken at once`() {
        var schedule = AnnouncementSchedule(announced: 7)
        let action = schedule.next(position: 7, need: .none, timing: timing, now: .zero)
        #expect(action == .announce(previous: 7, new: 7))
    }

    @Test func `after a quiet time a change is announced at once`() {
        var schedule = schedule()
        let action = schedule.next(position: 9, need: .holdsBack, timing: timing, now: .milliseconds(5))
        #expect(action == .announce(previous: 7, new: 9))
    }

    @Test func `otherwise at most once per interval`() {
        var schedule = schedule()
        let early = schedule.next(position: 9, need: .holdsBack, timing: timing, now: .milliseconds(2))
        let late = schedule.next(position: 9, need: .mayHoldBack, timing: timing, now: .milliseconds(20))
        #expect(early == .wait(until: .milliseconds(5)) && late == .wait(until: .milliseconds(50)))
    }

    @Test func `what nobody needs is repeated at a slow beat`() {
        var schedule = schedule()
        let before = schedule.next(position: 9, need: .none, timing: timing, now: .milliseconds(999))
        let after = schedule.next(position: 9, need: .none, timing: timing, now: .seconds(1))
        #expect(before == .wait(until: .seconds(1)) && after == .announce(previous: 7, new: 9))
    }

    @Test func `who is asked answers at once after a quiet time`() {
        var schedule = schedule()
        let action = schedule.next(position: 7, need: .none, isAsked: true, timing: timing, now: timing.interval)
        #expect(action == .announce(previous: 7, new: 7))
    }

    @Test func `many who ask have one answer an interval`() {
        var schedule = schedule()
        for _ in 0..<1000 {
            let action = schedule.next(position: 7, need: .none, isAsked: true, timing: timing, now: .zero)
            #expect(action == .wait(until: timing.interval))
        }
        let answer = schedule.next(position: 7, need: .none, timing: timing, now: timing.interval)
        let after = schedule.next(position: 7, need: .none, timing: timing, now: timing.interval)
        #expect(answer == .announce(previous: 7, new: 7))
        #expect(after == .wait(until: timing.interval + timing.repetition))
    }

    @Test func `rows that were told need no catching up`() {
        var schedule = schedule()
        schedule.told(rowAt: 8)
        schedule.told(rowAt: 9)
        let action = schedule.next(position: 12, need: .holdsBack, timing: timing, now: .seconds(1))
        #expect(action == .announce(previous: 9, new: 12))
    }

    @Test func `rows that were not told leave the previous position open`() {
        var schedule = schedule()
        schedule.wroteUntoldRows(through: 11)
        let first = schedule.next(position: 12, need: .holdsBack, timing: timing, now: .seconds(1))
        let second = schedule.next(position: 14, need: .holdsBack, timing: timing, now: .seconds(2))
        #expect(first == .announce(previous: 12, new: 12) && second == .announce(previous: 12, new: 14))
    }

    @Test func `rows that were not told are spoken of while the position has to wait`() {
        var schedule = schedule()
        schedule.wroteUntoldRows(through: 9)
        let first = schedule.next(position: 7, need: .none, timing: timing, now: .seconds(1))
        let second = schedule.next(position: 12, need: .holdsBack, timing: timing, now: .seconds(2))
        #expect(first == .announce(previous: 9, new: 7) && second == .announce(previous: 9, new: 12))
    }

    @Test(arguments: [1, 2, 8, 64, 1_024])
    func `all writers together stay below the bound`(writers: Int) {
        let timing = AnnouncementSchedule.Timing.forWriters(writers)
        #expect(Double(writers) / (timing.interval / .seconds(1)) <= 2_000)
        #expect(Double(writers) / (timing.repetition / .seconds(1)) <= 500 || writers == 1)
    }
}

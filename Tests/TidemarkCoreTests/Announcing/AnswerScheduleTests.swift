import Testing
import TidemarkCore

@Suite struct AnswerScheduleTests {
    private var schedule = AnswerSchedule(interval: .milliseconds(100))

    @Test mutating func `the first question is answered at once`() {
        #expect(schedule.asked(at: .seconds(5)) == true)
        #expect(schedule.nextAnswer == nil)
    }

    @Test mutating func `many questions in an interval have one answer at its end`() {
        #expect(schedule.asked(at: .zero) == true)
        for millisecond in 1..<100 { #expect(schedule.asked(at: .milliseconds(millisecond)) == false) }
        #expect(schedule.nextAnswer == .milliseconds(100))
        #expect(schedule.look(at: .milliseconds(99)) == false)
        #expect(schedule.look(at: .milliseconds(100)) == true)
        #expect(schedule.look(at: .milliseconds(100)) == false)
        #expect(schedule.nextAnswer == nil)
    }

    @Test mutating func `a question after a quiet time is answered at once`() {
        #expect(schedule.asked(at: .zero) == true)
        #expect(schedule.asked(at: .milliseconds(100)) == true)
    }
}

import Testing
import TidemarkCore

@Suite struct AnswerScheduleTests {
    private var schedule = AnswerSchedule(interval: .milliseconds(100))

    @Test mutating func theFirstQuestionIsAnsweredAtOnce() {
        #expect(schedule.asked(at: .seconds(5)) == true)
        #expect(schedule.nextAnswer == nil)
    }

    @Test mutating func manyQuestionsInAnIntervalHaveOneAnswerAtItsEnd() {
        #expect(schedule.asked(at: .zero) == true)
        for millisecond in 1..<100 { #expect(schedule.asked(at: .milliseconds(millisecond)) == false) }
        #expect(schedule.nextAnswer == .milliseconds(100))
        #expect(schedule.look(at: .milliseconds(99)) == false)
        #expect(schedule.look(at: .milliseconds(100)) == true)
        #expect(schedule.look(at: .milliseconds(100)) == false)
        #expect(schedule.nextAnswer == nil)
    }

    @Test mutating func aQuestionAfterAQuietTimeIsAnsweredAtOnce() {
        #expect(schedule.asked(at: .zero) == true)
        #expect(schedule.asked(at: .milliseconds(100)) == true)
    }
}

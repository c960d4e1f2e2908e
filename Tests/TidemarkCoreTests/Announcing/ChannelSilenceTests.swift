import Testing

@testable import TidemarkCore

@Suite struct ChannelSilenceTests {
    private func silence(listening: Duration = .zero) -> ChannelSilence {
        ChannelSilence(listening: listening, quietTime: .seconds(60), now: .zero)
    }

    @Test func `without a reason it speaks at once`() {
        var silence = silence()
        #expect(silence.speaks)
        silence.connected(now: .seconds(1))
        #expect(silence.speaks && silence.look(now: .seconds(1)) == .speak)
    }

    @Test func `it listens on each connection, where that is wanted`() {
        var silence = silence(listening: .milliseconds(500))
        #expect(silence.look(now: .zero) == .wait(until: .milliseconds(500)))
        #expect(silence.look(now: .milliseconds(500)) == .begin(wasSilent: false))
        #expect(silence.look(now: .milliseconds(500)) == .speak)
        silence.connected(now: .seconds(9))
        #expect(!silence.speaks)
        #expect(silence.look(now: .seconds(9)) == .wait(until: .milliseconds(9_500)))
        #expect(silence.look(now: .seconds(10)) == .begin(wasSilent: false))
    }

    @Test func `it is silent for a quiet time after each line, asks who is there, and speaks where nobody answers`() {
        var silence = silence()
        #expect(silence.heardOtherSoftware(now: .seconds(1)) == true)
        #expect(silence.heardOtherSoftware(now: .seconds(30)) == false)
        #expect(silence.look(now: .seconds(61)) == .wait(until: .seconds(90)))
        #expect(silence.look(now: .seconds(90)) == .ask(lookingAt: .milliseconds(90_500)))
        #expect(!silence.speaks)
        #expect(silence.look(now: .milliseconds(90_500)) == .begin(wasSilent: true))
        #expect(silence.speaks)
        #expect(silence.heardOtherSoftware(now: .seconds(100)) == true)
    }

    @Test func `an answer to its question keeps it silent, and is no news`() {
        var silence = silence()
        _ = silence.heardOtherSoftware(now: .zero)
        _ = silence.look(now: .seconds(60))
        #expect(silence.heardOtherSoftware(now: .seconds(60)) == false)
        #expect(silence.look(now: .milliseconds(60_500)) == .wait(until: .seconds(120)))
        #expect(silence.look(now: .seconds(120)) == .ask(lookingAt: .milliseconds(120_500)))
    }

    @Test func `a new connection ends the silence, once it has listened there`() {
        for listening in [Duration.zero, .milliseconds(500)] {
            var silence = silence(listening: listening)
            _ = silence.heardOtherSoftware(now: .zero)
            silence.connected(now: .seconds(5))
            #expect(!silence.speaks)
            #expect(silence.look(now: .seconds(5) + listening) == .begin(wasSilent: true))
        }
    }

    /// All orders of seven of: a line, a new connection, and times from too short to long enough.
    @Test(arguments: [Duration.zero, .milliseconds(500)])
    func `in every order it speaks only where that does no harm, and always in the end`(listening: Duration) {
        let steps = 4
        for order in 0..<16_384 {
            var silence = silence(listening: listening)
            var now = Duration.zero
            var connectedAt = Duration.zero
            var heardAt: Duration?
            var isSilent = false
            var rest = order
            for _ in 0..<7 {
                switch rest % steps {
                case 0:
                    #expect(silence.heardOtherSoftware(now: now) == !isSilent)
                    (isSilent, heardAt) = (true, now)
                case 1:
                    silence.connected(now: now)
                    (connectedAt, heardAt) = (now, nil)
                case 2: now += .milliseconds(500)
                default: now += .seconds(60)
                }
                rest /= steps
                switch silence.look(now: now) {
                case .begin(let wasSilent):
                    #expect(wasSilent == isSilent)
                    isSilent = false
                    fallthrough
                case .speak:
                    #expect(!isSilent)
                    #expect(now >= connectedAt + listening)
                    #expect(heardAt.map { now >= $0 + .seconds(60) } ?? true)
                case .ask(let time), .wait(let time):
                    #expect(time > now && time <= now + .seconds(60))
                    #expect(isSilent || listening > .zero)
                }
            }
            _ = silence.look(now: now + .seconds(60))
            _ = silence.look(now: now + .seconds(61))
            #expect(silence.speaks)
        }
    }
}

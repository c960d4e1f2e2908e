import NIOCore
import Testing

@testable import TidemarkReplication

@Suite struct LivenessTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

    private func liveness(greetingExpected: Bool) -> Liveness {
        var liveness = Liveness(
            interval: .milliseconds(500), limit: .milliseconds(1500), greetingLimit: .milliseconds(2200), now: start)
        if !greetingExpected { liveness.greeted() }
        return liveness
    }

    /// Looks whenever it asks to be looked at, until then or until silence.
    private func silence(of liveness: inout Liveness, until end: NIODeadline) -> NIODeadline? {
        var now = start
        while now <= end {
            switch liveness.look(at: now) {
            case .silent: return now
            case .alive(_, let next): now = next
            }
        }
        return nil
    }

    @Test func `a peer that pinged is dropped exactly when the limit is over`() {
        var liveness = liveness(greetingExpected: false)
        liveness.heardPing(at: start + .milliseconds(120))
        #expect(silence(of: &liveness, until: start + .seconds(9)) == start + .milliseconds(1620))
    }

    @Test func `a peer that never pinged is left alone`() {
        var liveness = liveness(greetingExpected: false)
        liveness.heard(at: start)
        #expect(silence(of: &liveness, until: start + .hours(1)) == nil)
    }

    @Test func `a peer that does not say who it is is dropped`() {
        var liveness = liveness(greetingExpected: true)
        #expect(silence(of: &liveness, until: start + .seconds(9)) == start + .milliseconds(2200))
    }

    @Test func `nothing but its name gives a peer more time`() {
        var liveness = liveness(greetingExpected: true)
        for step in 1...4 {
            let now = start + .milliseconds(500 * Int64(step))
            #expect(liveness.look(at: now) != .silent)
            liveness.heard(at: now)
            liveness.heardPing(at: now)
        }
        #expect(liveness.look(at: start + .milliseconds(2200)) == .silent)
    }

    @Test func `a server that said who it is and never pinged is left alone`() {
        var liveness = liveness(greetingExpected: true)
        liveness.greeted()
        #expect(silence(of: &liveness, until: start + .hours(1)) == nil)
    }

    @Test func `every line of a watched peer counts`() {
        var liveness = liveness(greetingExpected: false)
        liveness.heardPing(at: start)
        _ = liveness.look(at: start)
        for step in 1...20 {
            let now = start + .milliseconds(500 * Int64(step))
            #expect(liveness.look(at: now) != .silent)
            liveness.heard(at: now)
        }
    }

    @Test func `a ping is due once an interval`() {
        var liveness = liveness(greetingExpected: false)
        var pings: [NIODeadline] = []
        var now = start
        while now < start + .seconds(2) {
            guard case .alive(let ping, let next) = liveness.look(at: now) else { break }
            if ping { pings.append(now) }
            now = next
        }
        #expect(pings == [500, 1000, 1500].map { start + .milliseconds($0) })
    }

    /// Guards against a process that was stopped for a while, and then drops a server whose lines it has not read yet.
    @Test func `silence while this process was stopped does not count`() {
        var liveness = liveness(greetingExpected: false)
        liveness.heardPing(at: start)
        _ = liveness.look(at: start)
        let woken = start + .minutes(1)
        #expect(liveness.look(at: woken) == .alive(ping: true, at: woken + .milliseconds(500)))
        #expect(liveness.look(at: woken + .milliseconds(500)) != .silent)
        #expect(liveness.look(at: woken + .milliseconds(1000)) != .silent)
        #expect(liveness.look(at: woken + .milliseconds(1500)) == .silent)
    }
}

import NIOCore
import Testing

@testable import TidemarkReplication

@Suite struct ElectionTests {
    private var election = Election(seed: 1)
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

    private static func socket(_ inode: UInt64) -> SocketIdentity {
        SocketIdentity(device: 1, inode: inode, madeSeconds: 1, madeNanoseconds: 1)
    }
    private let mine = socket(1)
    private let theirs = socket(2)
    private let other = socket(3)

    private func delay(_ action: Election.Action) -> TimeAmount? {
        if case .wait(let delay) = action { delay } else { nil }
    }

    @Test mutating func `it connects first and serves where nobody does`() {
        #expect(election.waited() == .connect(avoiding: nil))
        #expect(election.nobodyServes(at: nil, now: start) == .takeOver(replacing: nil, ignoringLock: false))
        election.tookOver(as: mine)
        #expect(election.isServing)
    }

    @Test mutating func `it replaces the socket of a crashed server and no other`() {
        #expect(election.nobodyServes(at: theirs, now: start) == .takeOver(replacing: theirs, ignoringLock: false))
        #expect(delay(election.replacedMeanwhile()) ?? .hours(1) <= .milliseconds(1))
        #expect(election.waited() == .connect(avoiding: nil))
    }

    @Test mutating func `who does not get the lock connects again after a short delay`() {
        let delay = delay(election.lockIsHeld(now: start)) ?? .hours(1)
        #expect(delay <= .milliseconds(5))
        #expect(election.waited() == .connect(avoiding: nil))
    }

    @Test mutating func `a lock that is held for a second is ignored`() {
        _ = election.lockIsHeld(now: start)
        let early = start + .milliseconds(999)
        #expect(election.nobodyServes(at: nil, now: early) == .takeOver(replacing: nil, ignoringLock: false))
        _ = election.lockIsHeld(now: early)
        let late = start + .seconds(1)
        #expect(election.nobodyServes(at: nil, now: late) == .takeOver(replacing: nil, ignoringLock: true))
    }

    @Test mutating func `a link that came up ends the wait for the lock`() {
        _ = election.lockIsHeld(now: start)
        election.greeted(by: theirs)
        let later = start + .minutes(1)
        _ = election.lostServer(at: theirs, wasSilent: false, now: later)
        #expect(election.nobodyServes(at: nil, now: later) == .takeOver(replacing: nil, ignoringLock: false))
    }

    @Test mutating func `a silent server is not connected to again`() {
        election.greeted(by: theirs)
        let later = start + .seconds(10)
        #expect(delay(election.lostServer(at: theirs, wasSilent: true, now: later)) ?? .hours(1) <= .milliseconds(5))
        #expect(election.waited() == .connect(avoiding: theirs))
        election.greeted(by: other)
        _ = election.lostServer(at: other, wasSilent: false, now: later)
        #expect(election.waited() == .connect(avoiding: nil))
    }

    @Test mutating func `a server that ended may be replaced at once`() {
        election.greeted(by: theirs)
        let later = start + .seconds(10)
        #expect(delay(election.lostServer(at: theirs, wasSilent: false, now: later)) ?? .hours(1) <= .milliseconds(5))
        #expect(election.waited() == .connect(avoiding: nil))
    }

    @Test mutating func `a server whose socket was replaced steps down`() {
        election.tookOver(as: mine)
        #expect(election.looked(found: mine, now: start) == .nothing)
        guard case .stepDown = election.looked(found: theirs, now: start) else {
            Issue.record("it goes on serving")
            return
        }
        #expect(!election.isServing)
        #expect(election.looked(found: theirs, now: start) == .nothing)
    }

    @Test mutating func `a server whose socket is gone steps down`() {
        election.tookOver(as: mine)
        #expect(election.looked(found: nil, now: start) != .nothing)
    }

    @Test mutating func `failures are retried every few seconds in the end`() {
        var delays: [TimeAmount] = []
        for _ in 0..<12 { delays.append(delay(election.failed(now: start)) ?? .hours(1)) }
        #expect(delays.allSatisfy { $0 <= .seconds(5) })
        #expect(delays.suffix(3).allSatisfy { $0 >= .milliseconds(2_500) })
    }
}

import Testing
import TidemarkCore

/// What is heard is bounded: nothing above the sequence of a later snapshot can be true.
@Suite struct AgreeingTests {
    private let p1 = Writer("p1", epoch: 1)
    private let p2 = Writer("p2", epoch: 1)
    private let p3 = Writer("p3", epoch: 1)

    private func tracker(_ members: [Writer: StreamID], instance: InstanceName = "reader") -> PositionTracker {
        PositionTracker(instance: instance, members: members, version: 1, sequence: members.values.max() ?? 0)
    }

    @Test func `what is above a later snapshot was false and is taken back`() {
        var tracker = tracker([p1: 7, p2: 7])
        tracker.advance(p2, to: 9)
        tracker.advance(p1, to: 1_000_000)
        #expect(tracker.minimum == 9)
        let note = tracker.note()
        #expect(note.heard == 1_000_000)
        let news = tracker.agree(note, sequence: 9, membershipVersion: 1)
        #expect(news?.heard == 1_000_000 && news?.sequence == 9 && news?.writers == [p1])
        #expect(tracker.minimum == 7 && tracker.confirmed == 0 && tracker.note().heard == 9)
        #expect(tracker.positions == [p1: 7, p2: 9])
    }

    /// The watermark itself may be below the sequence: what it follows from is false all the same.
    @Test func `a minimum is not confirmed while anything is false`() {
        var tracker = tracker([p1: 7, p2: 7])
        tracker.advance(p1, to: 1_000_000)
        tracker.advance(p2, to: 9)
        let note = tracker.note()
        #expect(note.watermark.minimum == 9)
        #expect(tracker.agree(note, sequence: 9, membershipVersion: 1) != nil)
        #expect(tracker.confirmed == 0)
        let next = tracker.note()
        #expect(tracker.agree(next, sequence: 9, membershipVersion: 1) == nil)
        #expect(tracker.confirmed == 7)
    }

    @Test func `the minimum never falls below what a snapshot confirmed`() {
        var tracker = tracker([p1: 7, p2: 7])
        tracker.advance(p1, to: 12)
        tracker.advance(p2, to: 12)
        #expect(tracker.agree(tracker.note(), sequence: 12, membershipVersion: 1) == nil)
        tracker.advance(p1, to: .init(Int64.max))
        tracker.advance(p2, to: .init(Int64.max))
        #expect(tracker.minimum == StreamID(.max))
        let news = tracker.agree(tracker.note(), sequence: 12, membershipVersion: 1)
        #expect(news?.writers.sorted { $0.instance < $1.instance } == [p1, p2])
        #expect(tracker.minimum == 12)
    }

    @Test func `rows above the sequence are taken back too`() {
        var tracker = tracker([p1: 7])
        tracker.advance(p1, finished: 8)
        tracker.advance(p1, finished: 20)
        let news = tracker.agree(tracker.note(), sequence: 10, membershipVersion: 1)
        #expect(news?.writers == [p1])
        #expect(tracker.minimum == 8 && tracker.highestKnown == 8)
    }

    @Test func `who said something false is heard again after the database was asked once`() {
        var tracker = tracker([p1: 7, p2: 7])
        tracker.advance(p1, to: 1_000_000)
        let note = tracker.note()
        _ = tracker.agree(note, sequence: 9, membershipVersion: 1)
        // That was noted before it was found.
        tracker.hearAgain(note)
        tracker.advance(p1, to: 9)
        tracker.advance(p2, to: 9)
        #expect(tracker.positions == [p1: 7, p2: 9])
        tracker.hearAgain(tracker.note())
        tracker.advance(p1, to: 9)
        #expect(tracker.positions == [p1: 9, p2: 9])
    }

    /// What was heard after the note says nothing about the snapshot: it may be newer.
    @Test func `what was heard after the note is not false`() {
        var tracker = tracker([p1: 7, p2: 7])
        let note = tracker.note()
        tracker.advance(p1, to: 12)
        tracker.advance(p2, to: 12)
        #expect(tracker.agree(note, sequence: 7, membershipVersion: 1) == nil)
        #expect(tracker.minimum == 12 && tracker.confirmed == 7)
    }

    @Test func `another version confirms nothing`() {
        var tracker = tracker([p1: 7])
        #expect(tracker.agree(tracker.note(), sequence: 7, membershipVersion: 2) == nil)
        #expect(tracker.confirmed == 0)
    }

    /// Rule 2: what it only heard, a writer promises up to the sequence as it was read last.
    @Test func `an idle writer promises what it heard up to the sequence that it read`() {
        var tracker = tracker([p1: 7, p2: 7], instance: "p1")
        tracker.advance(p2, to: 40)
        #expect(tracker.position == 7 && tracker.known == 7)
        #expect(tracker.promise?.position == 7 && tracker.promise?.afterReading == 40)
        _ = tracker.agree(tracker.note(), sequence: 41, membershipVersion: 1)
        #expect(tracker.position == 40 && tracker.known == 7)
        #expect(tracker.promise?.position == 40 && tracker.promise?.afterReading == 40)
    }

    @Test func `a false position is not promised`() {
        var tracker = tracker([p1: 7, p2: 7], instance: "p1")
        tracker.advance(p2, to: 1_000_000)
        #expect(tracker.agree(tracker.note(), sequence: 9, membershipVersion: 1)?.writers == [p2])
        #expect(tracker.position == 7 && tracker.floor == 7)
        #expect(tracker.promise?.position == 7 && tracker.promise?.afterReading == 7)
    }

    /// The sequence may be ahead of what is durable, and what is heard above it may be false. So it is not a promise of what
    /// lies below it: after a crash the sequence would hand those IDs out again.
    @Test func `what is heard above the sequence says nothing of the IDs below it`() {
        var tracker = tracker([p1: 7, p2: 7, p3: 7], instance: "p1")
        let note = tracker.note()
        tracker.advance(p2, to: 1_000_000)
        #expect(tracker.agree(note, sequence: 20, membershipVersion: 1) == nil)
        #expect(tracker.position == 7 && tracker.promise?.afterReading == 1_000_000)
        // Nor once it was found to be false, also where it is not known any more who said it.
        tracker.updateMembers([p1: 7, p3: 7], version: 2)
        #expect(tracker.agree(tracker.note(), sequence: 20, membershipVersion: 2) != nil)
        #expect(tracker.position == 7 && tracker.promise?.afterReading == 7)
        tracker.advance(p3, to: 9)
        #expect(tracker.position == 9)
    }

    //  reader                           somebody
    //  notes what it heard              has said 1,000,000
    //                                   says 1,000,001
    //  opens a snapshot: the sequence is 20
    @Test func `who lies higher each time is found all the same`() throws {
        var tracker = tracker([p1: 7, p2: 7], instance: "p1")
        for lie in 0..<3 {
            tracker.advance(p2, to: StreamID(1_000_000 + Int64(lie) * 2))
            let note = tracker.note()
            tracker.advance(p2, to: StreamID(1_000_001 + Int64(lie) * 2))
            let found = tracker.agree(note, sequence: 20, membershipVersion: 1)
            let news = try #require(found)
            #expect(news.writers == [p2])
            #expect(tracker.minimum == 7 && tracker.position == 7)
            // Nothing of it is heard now.
            tracker.advance(p2, to: 2_000_000)
            let heard = tracker.note().heard
            #expect(tracker.minimum == 7 && heard <= 20)
            tracker.hearAgain(tracker.note())
        }
    }

    /// In a busy stream something higher is heard before each answer.
    @Test func `an idle writer promises what it heard before it read the sequence`() {
        var tracker = tracker([p1: 7, p2: 7], instance: "p1")
        tracker.advance(p2, to: 12)
        let note = tracker.note()
        tracker.advance(p2, to: 30)
        #expect(tracker.agree(note, sequence: 20, membershipVersion: 1) == nil)
        #expect(tracker.position == 12 && tracker.promise?.afterReading == 30)
    }

    /// It has joined again, and has read the members before the answer came.
    @Test func `a writer does not promise what others said in its name`() {
        let next = Writer("p1", epoch: 2)
        var tracker = tracker([p1: 7, p2: 7], instance: "p1")
        tracker.pin(to: p1)
        tracker.updateMembers([next: 8, p2: 7], version: 2)
        #expect(tracker.hasLostMembership)
        tracker.advance(next, to: 1_000_000)
        tracker.pin(to: next)
        #expect(tracker.own == next && tracker.position == 8)
    }

    /// Rule 3: what was promised was at or below the sequence: an answer that is not above it went backwards.
    @Test func `the floor is what was promised`() throws {
        var tracker = tracker([p1: 7, p2: 7], instance: "p1")
        tracker.advance(p2, to: 12)
        _ = tracker.agree(tracker.note(), sequence: 12, membershipVersion: 1)
        let fetch = try tracker.beginFetch()
        #expect(throws: AllocationFailure.wentBackwards(id: 9, floor: 12)) {
            try tracker.endFetch(fetch, with: [9], asked: 1, scope: 1, since: .zero, deadline: .zero)
        }
    }

    /// Others stand at a gap that only this writer's position closes, and it has to read the sequence for that.
    @Test func `what others need is known before the sequence is read`() {
        var tracker = tracker([p1: 7, p2: 7, p3: 7], instance: "p1")
        tracker.advance(p2, to: 20)
        tracker.advance(p3, to: 20)
        #expect(tracker.announcementNeed(announced: 7) == .none)
        #expect(tracker.announcementNeed(announced: 7, position: 20) == .holdsBack)
    }

    @Test func `a member speaks with the nonce of its join`() {
        var tracker = tracker([p1: 7, p2: 7], instance: "p1")
        tracker.updateMembers([p1: 7, p2: 7], version: 2, nonces: [p1: 11, p2: 22])
        tracker.pin(to: p1)
        #expect(tracker.standing(of: Speaker(p2, nonce: 22)) == .member)
        #expect(tracker.standing(of: Speaker(p2, nonce: 23)) == .foreign)
        #expect(tracker.standing(of: Speaker(p2, nonce: nil)) == .foreign)
        #expect(tracker.standing(of: Speaker(p1, nonce: 11)) == .own)
        #expect(tracker.standing(of: Speaker(p1, nonce: 12)) == .foreign)
        #expect(tracker.standing(of: Speaker(Writer("p2", epoch: 2), nonce: 22)) == .stranger)
        #expect(tracker.standing(of: Speaker(Writer("p2", epoch: 0), nonce: 22)) == .outdated)
        #expect(tracker.standing(of: Speaker(p3, nonce: 33)) == .stranger)
    }

    private let first = Era(Incarnation(10), after: 0)
    private func next(after id: StreamID) -> Era { Era(Incarnation(11), after: id) }

    private func tracker(in era: Era, _ members: [Writer: StreamID]) -> PositionTracker {
        PositionTracker(instance: "reader", members: members, version: 1, sequence: 9, era: era)
    }

    @Test func `what was known above where another incarnation begins is lost`() {
        var tracker = tracker(in: first, [p1: 5])
        tracker.recordKnown(7)
        let note = tracker.note()
        #expect(tracker.loss(since: note, in: [first]) == nil)
        #expect(tracker.loss(since: note, in: [first, next(after: 7)]) == nil)
        #expect(tracker.loss(since: note, in: [first, next(after: 6)]) != nil)
        #expect(tracker.loss(since: note, in: [next(after: 7)]) != nil)
    }

    /// A reader notes 5, and another snapshot shows 7 before the reader's own is opened, in the next incarnation.
    @Test func `what was read since the note may be lost too`() {
        var tracker = tracker(in: first, [p1: 5])
        let note = tracker.note()
        tracker.recordKnown(7)
        #expect(tracker.loss(since: note, in: [first, next(after: 6)]) != nil)
        // An answer that comes after that of a later question says nothing of what that has shown.
        _ = tracker.take(Membership(members: [:], version: 2, eras: [first, next(after: 7)]), newestCommitted: 7)
        tracker.recordKnown(9)
        #expect(tracker.loss(since: note, in: [first]) == nil)
    }

    /// 8 was heard of as finished, and lost with the old primary. The next incarnation hands it out again: p2 holds it while it
    /// commits 7.
    @Test func `what was only heard counts no more where another incarnation hands it out again`() {
        var tracker = tracker(in: first, [p1: 6])
        tracker.advance(p1, finished: 8)
        _ = tracker.take(
            Membership(members: [p2: 6], version: 2, eras: [first, next(after: 6)]), newestCommitted: 6)
        #expect(tracker.era == next(after: 6))
        tracker.advance(p2, finished: 7)
        #expect(tracker.minimum == 7)
    }

    /// A reader's snapshot of the first life is taken after another question was answered by the next one.
    @Test func `an answer from a life that is over says nothing`() {
        var tracker = tracker(in: first, [p1: 6])
        _ = tracker.take(
            Membership(members: [p2: 7], version: 9, eras: [first, next(after: 7)]), newestCommitted: 7)
        _ = tracker.take(
            Membership(members: [p1: 9], version: 3, eras: [first]), newestCommitted: 9, finished: [8...9])
        #expect(tracker.known == 7 && tracker.minimum == 7)
    }

    @Test func `IDs in flight are of the incarnation that handed them out`() throws {
        var tracker = PositionTracker(instance: "p1", members: [p1: 5], version: 1, sequence: 5, era: first)
        let fetch = try tracker.beginFetch()
        try tracker.endFetch(fetch, with: [6], asked: 1, scope: 1, since: .zero, deadline: .seconds(1))
        let closed = tracker.take(
            Membership(members: [:], version: 2, eras: [first, next(after: 6)]), newestCommitted: 5)
        #expect(closed == [6] && tracker.inFlightCount == 0)
        #expect(!tracker.finish(6) && tracker.known == 5)
    }

    /// p1#3 was another process in the first life, which was heard to be at 4. Its join was lost: in the next life, which begins
    /// at 1, this process is p1#3, and whoever hears of it at 4 would skip what it commits below.
    @Test func `an instance does not promise what was heard of its epoch in a life that is over`() {
        let heir = Writer("p1", epoch: 3)
        var tracker = PositionTracker(
            instance: "p1", members: [p1: 1], version: 1, nonces: [p1: 1], sequence: 5, era: first)
        tracker.pin(to: p1, nonce: 1)
        tracker.updateMembers([heir: 1], version: 2, nonces: [heir: 2])
        tracker.advance(heir, to: 4)
        tracker.pin(to: heir, nonce: 3)
        let lives = [first, next(after: 1)]
        _ = tracker.take(
            Membership(members: [heir: 1], version: 9, nonces: [heir: 3], eras: lives), newestCommitted: 0)
        #expect(tracker.position == 1)
        // Nor what is heard above the sequence of this life, though the first one's had come there.
        tracker.updateMembers([heir: 1, p2: 1], version: 10, nonces: [heir: 3, p2: 2])
        tracker.advance(p2, to: 5)
        #expect(tracker.position == 1)
    }

    @Test func `a member of the same epoch with another nonce is another writer`() {
        var tracker = PositionTracker(
            instance: "reader", members: [p1: 5, p2: 5], version: 1, nonces: [p1: 1, p2: 2], sequence: 9)
        tracker.advance(p1, to: 9)
        tracker.advance(p2, to: 9)
        tracker.updateMembers([p1: 6, p2: 6], version: 2, nonces: [p1: 1, p2: 3])
        #expect(tracker.positions == [p1: 9, p2: 6] && tracker.minimum == 6)
    }

    @Test func `an instance is not the member that has its epoch and another nonce`() {
        var tracker = PositionTracker(
            instance: "p1", members: [p1: 5], version: 1, nonces: [p1: 1], sequence: 9)
        tracker.pin(to: p1, nonce: 1)
        tracker.updateMembers([p1: 6], version: 2, nonces: [p1: 2])
        #expect(tracker.own == nil && tracker.hasLostMembership)
        #expect(tracker.positions == [p1: 6])
    }
}

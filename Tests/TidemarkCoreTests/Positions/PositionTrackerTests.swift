import Testing
import TidemarkCore

@Suite struct PositionTrackerTests {
    private let p1 = Writer("p1", epoch: 1)
    private let p2 = Writer("p2", epoch: 1)

    private func tracker(_ members: [Writer: StreamID], instance: InstanceName = "p1") -> PositionTracker {
        PositionTracker(instance: instance, members: members, version: 1)
    }

    /// Hands IDs out one by one.
    private func allocate(_ ids: StreamID..., in tracker: inout PositionTracker) throws {
        for id in ids {
            let fetch = try tracker.beginFetch()
            try tracker.endFetch(
                fetch, with: [id], asked: 1, scope: Int(id.rawValue), since: .zero, deadline: .seconds(30))
        }
    }

    @Test func `a position stays below the lowest ID in flight`() throws {
        var tracker = tracker([p1: 7])
        try allocate(8, 9, 10, 11, in: &tracker)
        #expect(tracker.position == 7)
        var positions: [StreamID?] = []
        for id in [9, 8, 11, 10] as [StreamID] {
            tracker.finish(id)
            positions.append(tracker.position)
        }
        #expect(positions == [7, 9, 9, 11])
    }

    @Test func `an idle writer is at the newest ID it knows`() {
        var tracker = tracker([p1: 7, p2: 7])
        tracker.advance(p2, to: 40)
        #expect(tracker.position == 40)
        #expect(tracker.minimum == 40)
    }

    /// Rule 2: a crash of the database can take the sequence back over an ID that is not finished.
    @Test func `an allocated ID is not known before it is finished`() throws {
        var tracker = tracker([p1: 7])
        try allocate(8, in: &tracker)
        #expect(tracker.known == 7)
        tracker.finish(8)
        #expect(tracker.known == 8 && tracker.position == 8)
    }

    /// Rule 3: the database has started again, and hands 8 out once more, to p2, which holds it when p1 hears that its
    /// own 8 is void. Were that one finished, readers would pass p2's.
    @Test func `a void ID is neither known nor finished`() throws {
        var tracker = tracker([p1: 7, p2: 7])
        try allocate(8, in: &tracker)
        let wasInFlight = [tracker.discard(8), tracker.discard(8)]
        #expect(wasInFlight == [true, false])
        #expect(tracker.known == 7 && tracker.position == 7 && tracker.minimum == 7)
        #expect(tracker.inFlightCount == 0)
        tracker.recordKnown(9)
        #expect(tracker.position == 9 && tracker.minimum == 7)
    }

    @Test func `what is finished above a void ID counts once that is gone`() throws {
        var tracker = tracker([p1: 7])
        try allocate(8, 9, in: &tracker)
        tracker.finish(9)
        #expect(tracker.position == 7)
        tracker.discard(8)
        #expect(tracker.position == 9 && tracker.minimum == 9)
    }

    /// An answer from before the database started again comes after a second one with the same ID, which is finished
    /// already, and kept because 8 is in flight: that is an error, and must not end the process.
    @Test func `an ID that was finished above one in flight is not taken again`() throws {
        var tracker = tracker([p1: 7])
        let late = try tracker.beginFetch()
        try allocate(8, 9, in: &tracker)
        tracker.finish(9)
        #expect(throws: AllocationFailure.handedOutTwice(id: 9)) {
            try tracker.endFetch(late, with: [9], asked: 1, scope: 2, since: .zero, deadline: .seconds(30))
        }
        #expect(tracker.position == 7)
    }

    /// Without members nobody can commit: what the snapshot holds is all there is, gaps and all.
    @Test func `a snapshot without members finishes all that it holds`() {
        var tracker = tracker([p2: 7])
        tracker.take(Membership(members: [:], version: 2), newestCommitted: 12)
        #expect(tracker.minimum == 12)
    }

    /// Rule 3: p2 commits 9 while 8 is on its way to p1.
    @Test func `a position stays at the floor of a fetch in progress`() throws {
        var tracker = tracker([p1: 7, p2: 7])
        let fetch = try tracker.beginFetch()
        tracker.advance(p2, to: 9)
        #expect(tracker.known == 9 && tracker.position == 7)
        try tracker.endFetch(fetch, with: [8], asked: 1, scope: 1, since: .zero, deadline: .zero)
        #expect(tracker.position == 7)
        tracker.finish(8)
        #expect(tracker.position == 9)
    }

    @Test func `a fetch that ended holds nothing back`() throws {
        var tracker = tracker([p1: 7, p2: 7])
        let fetch = try tracker.beginFetch()
        tracker.advance(p2, to: 9)
        tracker.abortFetch(fetch)
        #expect(tracker.position == 9)
        #expect(throws: AllocationFailure.late) {
            try tracker.endFetch(fetch, with: [8], asked: 1, scope: 1, since: .zero, deadline: .zero)
        }
    }

    @Test(
        arguments: [
            ([7], AllocationFailure.wentBackwards(id: 7, floor: 7)), ([3], .wentBackwards(id: 3, floor: 7)),
            ([8, 8], .notAscending(id: 8)), ([9, 8], .notAscending(id: 8)),
            ([8, 9, 10], .wrongCount(asked: 2, got: 3)),
            ([8], .wrongCount(asked: 2, got: 1)),
        ] as [([StreamID], AllocationFailure)])
    func `an answer that cannot be right is an error`(ids: [StreamID], failure: AllocationFailure) throws {
        var tracker = tracker([p1: 7])
        let fetch = try tracker.beginFetch()
        let asked = ids.count == 1 && failure != .wrongCount(asked: 2, got: 1) ? 1 : 2
        #expect(throws: failure) {
            try tracker.endFetch(fetch, with: ids, asked: asked, scope: 1, since: .zero, deadline: .zero)
        }
        #expect(tracker.inFlightCount == 0)
    }

    @Test func `an ID that is in flight is not handed out again`() throws {
        var tracker = tracker([p1: 7])
        let first = try tracker.beginFetch()
        let second = try tracker.beginFetch()
        try tracker.endFetch(second, with: [8], asked: 1, scope: 1, since: .zero, deadline: .zero)
        #expect(throws: AllocationFailure.handedOutTwice(id: 8)) {
            try tracker.endFetch(first, with: [8], asked: 1, scope: 2, since: .zero, deadline: .zero)
        }
    }

    @Test func `a reader allocates nothing`() {
        var tracker = tracker([p2: 7], instance: "reader")
        #expect(throws: AllocationFailure.notAMember) { try tracker.beginFetch() }
        #expect(tracker.position == nil)
        #expect(tracker.position(of: "reader") == 7)
    }

    // MARK: The minimum

    @Test func `the minimum runs on over finished IDs without a gap`() {
        var tracker = tracker([p1: 7, p2: 7], instance: "reader")
        tracker.recordFinished(9...9)
        #expect(tracker.minimum == 7)
        tracker.recordFinished(8...8)
        #expect(tracker.minimum == 9)
    }

    /// Rule 8: "p2 is at 24" says nothing about 24 itself, which may be another writer's and in flight.
    @Test func `a position does not say that its ID is finished`() {
        var tracker = tracker([p1: 7, p2: 7], instance: "reader")
        tracker.advance(p2, to: 9)
        tracker.recordFinished(8...8)
        #expect(tracker.minimum == 8)
    }

    @Test func `only members in their epoch are heard`() {
        var tracker = tracker([p1: 7, p2: 7], instance: "reader")
        for stranger in [Writer("p1", epoch: 0), Writer("p1", epoch: 2), Writer("p3", epoch: 1)] {
            tracker.advance(stranger, to: 100)
        }
        #expect(tracker.minimum == 7 && tracker.known == 7)
        #expect(tracker.positions == [p1: 7, p2: 7])
    }

    // MARK: Members

    @Test func `a new epoch starts at exactly its durable position`() {
        var tracker = tracker([p1: 7, p2: 7], instance: "reader")
        tracker.advance(p1, to: 20)
        tracker.advance(p2, to: 30)
        tracker.updateMembers([Writer("p1", epoch: 2): 15, p2: 9], version: 2)
        #expect(tracker.positions == [Writer("p1", epoch: 2): 15, p2: 30])
        #expect(tracker.minimum == 15)
    }

    @Test func `an older version changes nothing`() {
        var tracker = tracker([p1: 7], instance: "reader")
        tracker.updateMembers([p1: 7, p2: 7], version: 3)
        let before = tracker.watermark
        tracker.updateMembers([p1: 50], version: 2)
        #expect(tracker.watermark == before)
        #expect(tracker.positions == [p1: 7, p2: 7])
    }

    @Test func `the same version only raises positions`() {
        var tracker = tracker([p1: 7, p2: 9], instance: "reader")
        tracker.updateMembers([p1: 8, p2: 5], version: 1)
        #expect(tracker.positions == [p1: 8, p2: 9])
        #expect(tracker.minimum == 8)
    }

    @Test func `what was closed is in flight no more`() throws {
        var tracker = tracker([p1: 7, p2: 7])
        try allocate(8, 9, in: &tracker)
        let closed = tracker.updateMembers([p1: 8, p2: 7], version: 1)
        #expect(closed == [8])
        #expect(tracker.position == 8 && tracker.inFlightCount == 1)
    }

    /// The database has started again, and p2 holds 8 now: that p1 may not commit under it says nothing about p2.
    @Test func `what was closed is not finished for others`() throws {
        var tracker = tracker([p1: 7, p2: 7])
        try allocate(8, in: &tracker)
        tracker.closed(p1, through: 8)
        #expect(tracker.inFlightCount == 0 && tracker.position == 8)
        #expect(tracker.minimum == 7)
        tracker.advance(p2, to: 8)
        #expect(tracker.minimum == 8)
    }

    @Test func `a minimum that ran on stays when members leave`() {
        var tracker = tracker([p1: 7, p2: 7], instance: "reader")
        tracker.recordFinished(8...12)
        tracker.updateMembers([p1: 7], version: 2)
        #expect(tracker.minimum == 12)
        tracker.updateMembers([:], version: 3)
        #expect(tracker.minimum == 12)
    }

    @Test func `the name of a pinned instance in another epoch is another process`() throws {
        var tracker = tracker([p1: 7, p2: 7])
        tracker.pin(to: p1)
        let taker = Writer("p1", epoch: 2)
        tracker.updateMembers([taker: 7, p2: 7], version: 2)
        #expect(throws: AllocationFailure.notAMember) { try tracker.beginFetch() }
        tracker.advance(p2, to: 30)
        // What the zombie knows is not what the new holder of its name promises.
        #expect(tracker.minimum == 7)
        tracker.updateMembers([taker: 8, p2: 7], version: 3)
        #expect(throws: AllocationFailure.notAMember) { try tracker.beginFetch() }
        tracker.pin(to: taker)
        tracker.updateMembers([taker: 8, p2: 7], version: 4)
        #expect(tracker.position == 30)
        _ = try tracker.beginFetch()
    }

    // MARK: Announcing

    @Test func `an idle writer need not speak while runs have no gap`() {
        var tracker = tracker([p1: 7, p2: 7])
        tracker.recordFinished(8...20)
        #expect(tracker.minimum == 20)
        #expect(tracker.announcementNeed(announced: 7) == .none)
    }

    @Test func `an idle writer must speak when an ID was lost`() {
        // 8 was a dead writer's, whose durable position was raised to 8 when it was closed.
        var tracker = tracker([p1: 7, p2: 7])
        tracker.advance(p2, to: 8)
        tracker.recordFinished(9...20)
        #expect(tracker.minimum == 20)
        #expect(tracker.announcementNeed(announced: 7) == .holdsBack)
        #expect(tracker.announcementNeed(announced: 20) == .none)
    }

    /// Guards against every idle writer waiting for the others to speak first.
    @Test func `idle writers that wait at the same gap all speak`() {
        var tracker = tracker([p1: 7, p2: 7])
        tracker.recordFinished(9...20)
        #expect(tracker.minimum == 7 && tracker.position == 20)
        #expect(tracker.announcementNeed(announced: 7) == .mayHoldBack)
        tracker.advance(p2, to: 20)
        #expect(tracker.minimum == 20)
        #expect(tracker.announcementNeed(announced: 7) == .holdsBack)
    }

    @Test func `the token has the writers that are ahead`() {
        var tracker = tracker([p1: 7, p2: 7, Writer("p3", epoch: 1): 7], instance: "reader")
        tracker.advance(p2, to: 12)
        tracker.advance(Writer("p3", epoch: 1), to: 9)
        #expect(tracker.token == StreamToken(minimum: 7, ahead: ["p2": 12, "p3": 9]))
    }
}

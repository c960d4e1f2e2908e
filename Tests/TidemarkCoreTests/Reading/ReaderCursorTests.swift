import Testing
import TidemarkCore

@Suite struct ReaderCursorTests {
    private func request(_ cursor: ReaderCursor, minimum: StreamID, version: Int = 3) throws -> SnapshotRequest {
        let step = cursor.nextStep(
            watermark: Watermark(minimum: minimum, membershipVersion: version), limit: 10, byteLimit: 1000)
        guard case .read(let request) = step else {
            Issue.record("nothing is read")
            throw CancellationError()
        }
        return request
    }

    private func view(
        version: Int = 3, sequence: StreamID = 100, isThere: Bool = true, last: StreamID? = nil,
        isTruncated: Bool = false, eras: [Era] = []
    ) -> ReaderCursor.View {
        ReaderCursor.View(
            membershipVersion: version, sequence: sequence, deliveredIsThere: isThere,
            last: last.map { Delivered(streamID: $0, mark: CommitMark(1), eventID: "e\($0)") },
            isTruncated: isTruncated, eras: eras)
    }

    private func eras(_ begins: (Int64, StreamID)...) -> [Era] { begins.map { Era(Incarnation($0), after: $1) } }

    /// The reader passes 6 to 9 by positions alone. A copy that lacks them takes over and hands out 8 and 9 again: nothing else
    /// tells, once its sequence is above the cursor.
    @Test(arguments: [(7 as StreamID, true), (8, true), (9, false), (12, false)])
    func `an incarnation that begins below the cursor is a loss`(begin: StreamID, isLoss: Bool) throws {
        var cursor = ReaderCursor(after: 5)
        _ = cursor.received(view(eras: eras((10, 2))), for: try request(cursor, minimum: 9))
        let found = view(version: 4, eras: eras((10, 2), (11, begin), (12, 20)))
        let outcome = cursor.received(found, for: try request(cursor, minimum: 10))
        #expect(cursor.position == 9)
        guard isLoss else { return #expect(outcome == .reloadMembers) }
        guard case .lost(9, _) = outcome else { return #expect(Bool(false), "\(outcome)") }
    }

    @Test func `an incarnation that was seen and is not there is a loss`() throws {
        var cursor = ReaderCursor(after: 5)
        _ = cursor.received(view(eras: eras((10, 2), (11, 4))), for: try request(cursor, minimum: 9))
        let outcome = cursor.received(view(eras: eras((10, 2), (12, 20))), for: try request(cursor, minimum: 10))
        guard case .lost(9, _) = outcome else { return #expect(Bool(false), "\(outcome)") }
    }

    @Test func `a store without eras is compared with nothing`() throws {
        var cursor = ReaderCursor(after: 5)
        _ = cursor.received(view(), for: try request(cursor, minimum: 9))
        #expect(cursor.received(view(eras: eras((12, 2))), for: try request(cursor, minimum: 10)) == .deliver)
    }

    @Test func `nothing is read before the watermark moves`() throws {
        var cursor = ReaderCursor(after: 5)
        _ = cursor.received(view(), for: try request(cursor, minimum: 5))
        for minimum in [4, 5] as [StreamID] {
            let watermark = Watermark(minimum: minimum, membershipVersion: 1)
            #expect(cursor.nextStep(watermark: watermark, limit: 10, byteLimit: 10) == .wait)
        }
    }

    @Test func `the cursor goes to the watermark of the request`() throws {
        var cursor = ReaderCursor(after: 5)
        let request = try request(cursor, minimum: 9)
        #expect(request.after == 5 && request.through == 9 && request.delivered == nil)
        let outcome = cursor.received(view(last: 7), for: request)
        #expect(outcome == .deliver && cursor.position == 9)
        #expect(try self.request(cursor, minimum: 10).delivered?.streamID == 7)
    }

    @Test func `a batch that was cut off ends at its last event`() throws {
        var cursor = ReaderCursor(after: 5)
        let outcome = cursor.received(view(last: 7, isTruncated: true), for: try request(cursor, minimum: 9))
        #expect(outcome == .deliver && cursor.position == 7)
    }

    /// Rule 7: whoever joined between the watermark and the snapshot may commit below the watermark.
    @Test func `with other members nothing is delivered`() throws {
        var cursor = ReaderCursor(after: 5)
        let outcome = cursor.received(view(version: 4, last: 7), for: try request(cursor, minimum: 9))
        #expect(outcome == .reloadMembers && cursor.position == 5)
    }

    @Test func `a database that was put back is noticed`() throws {
        var cursor = ReaderCursor(after: 5)
        _ = cursor.received(view(last: 7), for: try request(cursor, minimum: 9))
        for view in [view(isThere: false), view(sequence: 8), view(version: 2)] {
            var cursor = cursor
            let outcome = cursor.received(view, for: try request(cursor, minimum: 12))
            guard case .wentBackwards = outcome else {
                Issue.record("\(outcome)")
                continue
            }
            #expect(cursor.position == 9)
        }
    }

    /// What was heard may be false, and the watermark with it, also where that is at or below the sequence.
    @Test(arguments: [(101, 0), (9, 101), (StreamID(.max), StreamID(.max))] as [(StreamID, StreamID)])
    func `what was heard above the sequence moves no cursor`(minimum: StreamID, heard: StreamID) throws {
        var cursor = ReaderCursor(after: 5)
        let outcome = cursor.received(
            view(sequence: 100, last: 7), for: try request(cursor, minimum: minimum), heard: heard)
        #expect(outcome == .heardFalsely && cursor.position == 5 && cursor.delivered == nil)
    }

    @Test func `where reading begins is never beyond the sequence`() throws {
        var cursor = ReaderCursor(after: 500)
        // Before the watermark comes as far: otherwise everything up to there would be skipped without a word.
        let request = try request(cursor, minimum: 3)
        #expect(request.through == 500)
        guard case .wentBackwards(at: 500, _) = cursor.received(view(sequence: 499), for: request) else {
            Issue.record("\(cursor)")
            return
        }
        #expect(cursor.received(view(sequence: 500), for: request) == .deliver && cursor.position == 500)
        #expect(
            cursor.nextStep(watermark: Watermark(minimum: 3, membershipVersion: 3), limit: 1, byteLimit: 1) == .wait)
    }

    @Test func `the passed event is asked for at once`() throws {
        let passed = Delivered(streamID: 4, mark: CommitMark(77))
        var cursor = ReaderCursor(after: 5, passed: passed)
        let request = try request(cursor, minimum: 5)
        #expect(request.delivered == passed)
        guard case .wentBackwards(at: 4, _) = cursor.received(view(isThere: false), for: request) else {
            Issue.record("\(cursor)")
            return
        }
    }
}

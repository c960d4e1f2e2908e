import Testing
import Tidemark

@testable import CrashTest

/// What the crash test would say of a reader that did something wrong.
@Suite struct DeliveryCheckTests {
    /// The event with this ID, which is also the number of its commit.
    private func event(_ id: StreamID, commitNumber: Int64? = nil) -> DeliveredEvent {
        DeliveredEvent(streamID: id, eventID: "e\(id)", commitNumber: commitNumber ?? id.rawValue)
    }

    private func batch(_ ids: ClosedRange<Int64>) -> [Delivery] {
        ids.map { .event(event(StreamID($0))) }
            + [.batchEnded(through: StreamID(ids.upperBound), commitNumber: ids.upperBound)]
    }

    /// - Parameter all: the IDs of the events that are in the database.
    private func check(_ deliveries: [Delivery], all: ClosedRange<Int64> = 1...4) throws -> DeliveryCheck {
        var check = DeliveryCheck()
        for delivery in deliveries { try check.take(try Delivery(fields: delivery.line.split(separator: " "))) }
        try check.finish(all: all.map { event(StreamID($0)) })
        return check
    }

    @Test func `what comes in order and once is right`() throws {
        let check = try check([.began(after: 0)] + batch(1...2) + [.checkpoint(2)] + batch(3...4) + [.checkpoint(4)])
        #expect(check.repeated == 0 && check.restarts == 0 && check.batches.count == 2)
    }

    @Test(arguments: [0, 2] as [StreamID])
    func `after a crash what came after the checkpoint may come again, durable or not`(checkpoint: StreamID) throws {
        let before = [.began(after: 0)] + batch(1...2)
        let check = try check(before + [.began(after: checkpoint)] + batch((checkpoint.rawValue + 1)...4))
        #expect(check.repeated == 2 - Int(checkpoint.rawValue) && check.restarts == 1)
    }

    @Test func `a crash while events come again makes them come again once more`() throws {
        let again: [Delivery] = [.began(after: 0), .event(event(1)), .began(after: 0)]
        #expect(try check([.began(after: 0)] + batch(1...3) + again + batch(1...4)).repeated == 4)
    }

    @Test func `an event that is left out is found`() {
        let skipping: [Delivery] = [.began(after: 0), .event(event(1)), .event(event(3)), .event(event(4))]
        #expect(throws: Failure.self) { try check(skipping) }
        #expect(throws: Failure.self) { try check([.began(after: 0)] + batch(1...3)) }
    }

    @Test func `an event that comes twice, or before its turn, is found`() {
        #expect(throws: Failure.self) { try check([.began(after: 0), .event(event(1)), .event(event(1))]) }
        #expect(throws: Failure.self) { try check([.began(after: 0), .event(event(2)), .event(event(1))]) }
    }

    @Test func `a process that goes on elsewhere than at its checkpoint is found`() {
        let before = [.began(after: 0)] + batch(1...2) + [.checkpoint(2)]
        #expect(throws: Failure.self) { try check(before + [.began(after: 1)] + batch(2...4)) }
        #expect(throws: Failure.self) { try check(before + [.began(after: 3)] + batch(4...4)) }
    }

    @Test func `what comes again and is something else is found`() {
        let other = Delivery.event(event(1, commitNumber: 9))
        #expect(throws: Failure.self) { try check([.began(after: 0)] + batch(1...2) + [.began(after: 0), other]) }
    }

    @Test func `a commit below a batch that is later than the batch's snapshot is found`() {
        var early = [Delivery.began(after: 0)] + batch(1...4)
        early[5] = .batchEnded(through: 4, commitNumber: 3)
        #expect(throws: Failure.self) { try check(early) }
    }
}

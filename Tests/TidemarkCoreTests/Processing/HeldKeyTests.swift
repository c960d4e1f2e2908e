import Testing

@testable import TidemarkCore

/// Keys that wait behind a parked event, and what is told of it.
@Suite struct HeldKeyTests {
    private func claimed(_ held: [[UInt8]: [StreamID]], position: StreamID = 10) -> ProcessorMachine.Claimed {
        ProcessorMachine.Claimed(
            partition: 0, claim: 1, position: position, delivered: DeliveredSum(), passed: nil, uncleanThrough: nil,
            held: held)
    }

    @Test func `in the order of partitions a key that is held holds up no other`() {
        let one = OnePartition {
            $0.order = .partition
            $0.maximumAttempts = 1
            $0.whenExhausted = .parkAndHoldKey(limit: 3)
        }
        one.read("abab-")
        #expect(one.start() == [1])
        one.fail(1)
        // The third is parked behind the first, and the second goes on.
        #expect(one.start() == [2])
        one.succeed(2)
        #expect(one.start() == [4])
        one.succeed(4)
        #expect(one.start() == [5])
        one.succeed(5)
        one.read("ba")
        #expect(one.start() == [6])
        one.succeed(6)
        let parked = one.checkpoint()?.parked ?? []
        #expect(parked.map(\.id) == [1, 3, 7] && parked.map(\.reason) == [.exhausted, .behind, .behind])
    }

    @Test func `keys that Swift takes for the same are held apart`() {
        let one = OnePartition(claimed: claimed([Array("\u{e9}".utf8): [1], Array("e\u{301}".utf8): [2]])) {
            $0.whenExhausted = .parkAndHoldKey(limit: 3)
        }
        let keys = ["\u{e9}", "e\u{301}", "e"]
        let events = keys.enumerated().map { index, key in
            EventToHandle(id: StreamID(11 + Int64(index)), mark: CommitMark(1), key: key)
        }
        _ = one.machine.read(after: 10, events, through: 13, snapshot: SnapshotMark(newestCommit: 1))
        #expect(one.start() == [13])
        #expect(one.retry(1, key: "\u{e9}"))
        #expect(one.retry(2, key: "e\u{301}"))
    }

    @Test func `what is parked of all keys of a partition is bounded where keys are held`() {
        let one = OnePartition {
            $0.maximumAttempts = 1
            $0.whenExhausted = .parkAndHoldKey(limit: 100)
            $0.mostHeld = 2
        }
        one.read("abc")
        one.start()
        one.fail(1)
        one.fail(2)
        one.checkpoint()
        #expect(one.machine.failure == nil)
        // One that is dropped makes room.
        one.machine.parkedAreNow([2], at: 2, partition: 0, claim: 1)
        one.fail(3)
        #expect(one.machine.failure == nil)
        one.read("d")
        one.start()
        one.fail(4)
        #expect(one.machine.failure == .tooManyHeld(4, limit: 2))
    }

    @Test func `where a store has more parked than it lists, nobody knows which keys are held, and nothing starts`() {
        let listed = (1...Int64(ProcessorMachine.Claimed.mostHeld)).map { StreamID($0) }
        let held = Dictionary(grouping: listed) { Array("\($0.rawValue % 1_000)".utf8) }
        let last = StreamID(Int64(ProcessorMachine.Claimed.mostHeld))
        let one = OnePartition(claimed: claimed(held, position: last)) {
            $0.whenExhausted = .parkAndHoldKey(limit: 1_000)
        }
        #expect(one.machine.failure == .tooManyHeld(last, limit: one.machine.configuration.mostHeld))
        #expect(OnePartition(claimed: claimed(held, position: last)).machine.failure == nil)
    }

    @Test func `an event whose handler commits over its limit is not told of as parked`() {
        let one = OnePartition {
            $0.order = .partition
            $0.timeLimit = .seconds(1)
        }
        one.read("aa")
        one.start()
        one.wait(.seconds(1))
        #expect(one.machine.overdue == 1)
        one.machine.ended(one.runs[1] ?? -1, .succeededDurably, now: one.now)
        #expect(one.checkpoint()?.parked.map(\.id) == [2])
        #expect(one.machine.takeParked().map(\.id) == [2])
    }

    @Test func `an event whose handler commits over its limit does not hold its key`() {
        let one = OnePartition {
            $0.order = .partition
            $0.timeLimit = .seconds(1)
            $0.whenExhausted = .parkAndHoldKey(limit: 3)
        }
        one.read("a")
        one.start()
        one.wait(.seconds(1))
        one.machine.ended(one.runs[1] ?? -1, .succeededDurably, now: one.now)
        one.read("a")
        #expect(one.start() == [2])
    }

    @Test func `what was parked is told once, with a checkpoint or in a handler's transaction`() {
        let one = OnePartition {
            $0.order = .partition
            $0.maximumAttempts = 1
        }
        one.read("abc")
        one.start()
        one.fail(1)
        #expect(one.machine.takeParked().isEmpty)
        // The transaction of the second passes both; the checkpoint finds nothing left.
        one.start()
        one.machine.ended(one.runs[2] ?? -1, .succeededDurably, now: one.now)
        #expect(one.machine.takeParked().map(\.id) == [1])
        #expect(one.checkpoint() == nil)
        one.start()
        one.fail(3)
        one.checkpoint()
        #expect(one.machine.takeParked().map(\.id) == [3])
        #expect(one.machine.takeParked().isEmpty)
    }
}

import Testing

@testable import TidemarkCore

/// One partition of one process, with a clock that the test moves.
final class OnePartition {
    var machine: ProcessorMachine
    var now = Duration.zero
    /// The runs that go on, by event.
    var runs: [StreamID: Int] = [:]
    var late: [StreamID: Int] = [:]

    init(
        claimed: ProcessorMachine.Claimed? = nil, _ configure: (inout ProcessorMachine.Configuration) -> Void = { _ in }
    ) {
        var configuration = ProcessorMachine.Configuration()
        configuration.partitions = 1
        configuration.confirmationLimit = .seconds(1_000_000)
        configure(&configuration)
        machine = ProcessorMachine(configuration: configuration, now: .zero)
        machine.claimed(
            claimed
                ?? ProcessorMachine.Claimed(
                    partition: 0, claim: 1, position: 0, delivered: DeliveredSum(), passed: nil, uncleanThrough: nil))
    }

    /// Reads these events, by their keys: "a" is of key a, "-" has none. The first has the ID after what was read.
    @discardableResult
    func read(_ keys: String) -> [StreamID] {
        guard let place = machine.nextRead()?.after else { return [] }
        let events = keys.enumerated().map { index, key in
            EventToHandle(
                id: StreamID(place.rawValue + Int64(index) + 1), mark: CommitMark(1),
                key: key == "-" ? nil : String(key))
        }
        let taken = machine.read(
            after: place, events, through: StreamID(place.rawValue + Int64(events.count)),
            snapshot: SnapshotMark(newestCommit: 1))
        return taken.map { events[$0.index].id }
    }

    /// Starts whatever may be; the IDs.
    @discardableResult
    func start() -> [StreamID] {
        var started: [StreamID] = []
        while let start = machine.nextStart(now: now) {
            if start.isLate { late[start.id] = start.run } else { runs[start.id] = start.run }
            started.append(start.id)
        }
        return started
    }

    func succeed(_ ids: StreamID...) {
        for id in ids { machine.ended(runs.removeValue(forKey: id) ?? -1, .succeeded, now: now) }
    }

    func fail(_ id: StreamID, _ problem: String = "no") {
        machine.ended(runs.removeValue(forKey: id) ?? -1, .failed(problem), now: now)
    }

    func wait(_ duration: Duration) {
        now += duration
        machine.timePassed(now: now)
    }

    func cancellations() -> [Int] { machine.takeCancellations() }
    func takeCheckpoints() -> [ProcessorMachine.Checkpoint] { machine.takeCheckpoints() }
    func lateEndings() -> [ProcessorMachine.LateEnding] { machine.takeLateEndings() }
    func counts() -> [ProcessorMachine.Count] { machine.takeCounts(now: now) }
    func nextRead() -> ProcessorMachine.Read? { machine.nextRead() }

    func retry(_ id: StreamID, key: String) -> Bool { machine.retry(id, key: key, partition: 0, claim: 1) }

    /// Writes the checkpoint, and returns it.
    @discardableResult
    func checkpoint() -> Passage? {
        let checkpoints = machine.takeCheckpoints()
        for checkpoint in checkpoints { machine.checkpointed(checkpoint, isOwned: true) }
        return checkpoints.first?.passage
    }
}

@Suite struct ProcessorMachineTests {
    @Test func `events of one key start one after the other, others at the same time`() {
        let one = OnePartition()
        one.read("aab-a-")
        #expect(one.start() == [1, 3, 4, 6])
        one.succeed(3, 4)
        #expect(one.start() == [])
        one.succeed(1)
        #expect(one.start() == [2])
        one.succeed(2)
        #expect(one.start() == [5])
    }

    @Test func `no more handlers run than are allowed`() {
        let one = OnePartition { $0.concurrency = 2 }
        one.read("abcd")
        #expect(one.start() == [1, 2])
        one.succeed(2)
        #expect(one.start() == [3])
    }

    @Test func `keys are compared as bytes`() {
        // Two texts that Swift calls equal, and one.
        let one = OnePartition()
        let events = ["\u{e9}", "e\u{301}", "\u{e9}"].enumerated().map { index, key in
            EventToHandle(id: StreamID(Int64(index) + 1), mark: CommitMark(1), key: key)
        }
        _ = one.machine.read(after: 0, events, through: 3, snapshot: SnapshotMark(newestCommit: 1))
        #expect(one.start() == [1, 2])
    }

    @Test func `the checkpoint is just below the lowest event that is not done`() {
        let one = OnePartition()
        one.read("abcd")
        one.start()
        one.succeed(2, 4)
        #expect(one.checkpoint() == nil)
        one.succeed(1)
        #expect(one.checkpoint()?.position == 2)
        one.succeed(3)
        let last = one.checkpoint()
        #expect(last?.position == 4)
        var sum = DeliveredSum()
        for id in 1...4 { sum.add(StreamID(Int64(id)), mark: CommitMark(1)) }
        #expect(last?.delivered == sum)
    }

    @Test func `a partition without events moves with what was read`() {
        let one = OnePartition { $0.partitions = 2 }
        let ids = (1...100).map { StreamID(Int64($0)) }.filter {
            PartitionHash.partition(ofKey: nil, id: $0, of: 2) == 1
        }
        let events = ids.map { EventToHandle(id: $0, mark: CommitMark(1), key: nil) }
        let taken = one.machine.read(after: 0, events, through: 100, snapshot: SnapshotMark(newestCommit: 1))
        #expect(taken.isEmpty)
        #expect(one.checkpoint()?.position == 100)
    }

    @Test func `done but unpassed events are bounded, and then the partition stops reading`() {
        let one = OnePartition { $0.windowEvents = 4 }
        #expect(one.read("abcdef") == [1, 2, 3, 4])
        #expect(one.nextRead() == nil)
        one.start()
        one.succeed(2, 3, 4)
        one.checkpoint()
        #expect(one.nextRead() == nil)
        one.succeed(1)
        // It is passed in memory alone.
        #expect(one.nextRead() == nil)
        one.checkpoint()
        #expect(one.nextRead()?.after == 4)
    }

    @Test func `payloads that wait are bounded`() {
        let one = OnePartition { $0.windowBytes = 10 }
        let events = (1...3).map { EventToHandle(id: StreamID(Int64($0)), mark: CommitMark(1), key: nil, bytes: 6) }
        let taken = one.machine.read(after: 0, events, through: 3, snapshot: SnapshotMark(newestCommit: 1))
        #expect(taken.map(\.index) == [0, 1])
        one.start()
        one.succeed(1, 2)
        #expect(one.nextRead()?.after == 2)
    }

    @Test func `a handler that fails is called again later, later each time, and its key waits`() {
        let one = OnePartition {
            $0.shortestDelay = .seconds(2)
            $0.longestDelay = .seconds(6)
        }
        one.read("aa")
        one.start()
        // Half of each delay is random, here none of it.
        for delay in [1, 2, 3] {
            one.fail(1)
            one.wait(.seconds(delay) - .milliseconds(1))
            #expect(one.start() == [])
            #expect(one.machine.nextDeadline == one.now + .milliseconds(1))
            one.wait(.milliseconds(1))
            #expect(one.start() == [1])
        }
        one.succeed(1)
        #expect(one.start() == [2])
    }

    @Test func `an event whose attempts are used up is parked with its error, and its key goes on`() {
        let one = OnePartition { $0.maximumAttempts = 2 }
        one.read("aab")
        one.start()
        one.fail(1, "first")
        one.wait(.seconds(1))
        one.start()
        one.fail(1, "second")
        #expect(one.start() == [2])
        let passage = one.checkpoint()
        #expect(passage?.position == 1)
        #expect(
            passage?.parked == [ParkingNote(id: 1, reason: .exhausted, attempts: 2, problem: "second")])
        // Once, in the transaction that passes it.
        one.succeed(2)
        #expect(one.checkpoint()?.parked == [])
    }

    @Test func `what is parked above an event that is not done is parked when it is passed`() {
        let one = OnePartition { $0.maximumAttempts = 1 }
        one.read("ab")
        one.start()
        one.fail(2)
        #expect(one.checkpoint() == nil)
        one.succeed(1)
        #expect(one.checkpoint()?.parked.map(\.id) == [2])
    }

    @Test func `where keys are held, what follows is parked behind, up to a bound`() {
        let one = OnePartition {
            $0.maximumAttempts = 1
            $0.whenExhausted = .parkAndHoldKey(limit: 3)
        }
        one.read("aab")
        one.start()
        one.fail(1)
        one.read("a")
        one.succeed(3)
        #expect(one.checkpoint()?.parked.map(\.reason) == [.exhausted, .behind, .behind])
        #expect(one.machine.failure == nil)
        one.read("a")
        #expect(one.machine.failure == .tooManyHeld(5, limit: 3))
    }

    @Test func `a held key goes on when nothing of it is parked any more`() {
        let one = OnePartition {
            $0.maximumAttempts = 1
            $0.whenExhausted = .parkAndHoldKey(limit: 3)
        }
        one.read("aa")
        one.start()
        one.fail(1)
        one.checkpoint()
        // The second of them may not be tried before the first.
        #expect(!one.retry(2, key: "a"))
        #expect(one.retry(1, key: "a"))
        #expect(one.start() == [1])
        one.machine.ended(one.late[1]!, .succeeded, now: one.now)  // It has just been started.
        #expect(one.lateEndings().map(\.id) == [1])
        one.machine.parkedAreNow([], at: 2, partition: 0, claim: 1)
        one.read("a")
        #expect(one.start() == [3])
    }

    //  the owner asks the database what is parked
    //                                              its checkpoint parks an event and what is behind it
    //  the answer does not have them
    @Test func `an answer from before a checkpoint releases no key that it has parked`() {
        let one = OnePartition {
            $0.maximumAttempts = 1
            $0.whenExhausted = .parkAndHoldKey(limit: 3)
        }
        one.read("a")
        one.start()
        let place = one.machine.position(of: 0) ?? 0
        one.fail(1)
        one.checkpoint()
        one.machine.parkedAreNow([], at: place, partition: 0, claim: 1)
        one.read("a")
        #expect(one.start() == [])
    }

    @Test func `a processor that is to stop does, and passes nothing`() {
        let one = OnePartition {
            $0.maximumAttempts = 1
            $0.whenExhausted = .stop
        }
        one.read("ab")
        one.start()
        one.fail(1, "broken")
        #expect(
            one.machine.failure == .exhausted(ParkingNote(id: 1, reason: .exhausted, attempts: 1, problem: "broken")))
        one.succeed(2)
        #expect(one.checkpoint() == nil)
    }

    @Test func `a parked event that is tried again takes its turn among those of its key, and is called late`() {
        let one = OnePartition()
        one.read("aab")
        one.start()
        #expect(one.retry(1_000, key: "a"))
        #expect(one.start() == [])
        one.succeed(1)
        #expect(one.start() == [2])
        one.succeed(2)
        let start = one.machine.nextStart(now: one.now)
        #expect(start?.id == 1_000 && start?.isLate == true)
        // The checkpoint does not wait for it.
        one.succeed(3)
        #expect(one.checkpoint()?.position == 3)
    }

    @Test func `a handler over its limit is cancelled, and its key stays blocked until it returns`() {
        let one = OnePartition { $0.timeLimit = .seconds(5) }
        one.read("aab")
        one.start()
        one.succeed(3)
        one.wait(.seconds(5))
        #expect(one.cancellations() == [1])
        // It is parked, and what follows behind it.
        #expect(one.checkpoint()?.parked.map(\.reason) == [.timeLimit, .behind])
        #expect(one.start() == [])
        one.read("a")
        #expect(one.checkpoint()?.parked.map(\.reason) == [.behind])
        one.succeed(1)
        one.read("a")
        #expect(one.start() == [5])
    }

    @Test func `handlers over their limit keep no others from running, up to a bound`() {
        let one = OnePartition {
            $0.timeLimit = .seconds(5)
            $0.concurrency = 1
        }
        one.read("abc")
        #expect(one.start() == [1])
        one.wait(.seconds(5))
        #expect(one.start() == [2])
        one.wait(.seconds(5))
        #expect(one.start() == [])
        one.succeed(1)
        #expect(one.start() == [3])
    }

    @Test func `an owner that is not confirmed starts nothing more and cancels its handlers`() {
        let one = OnePartition { $0.confirmationLimit = .seconds(3) }
        one.machine.confirmed(askedAt: .seconds(1), now: .seconds(1))
        one.now = .seconds(1)
        one.read("abc")
        one.start()
        one.succeed(3)
        one.read("d")
        one.wait(.seconds(3) - .milliseconds(1))
        #expect(one.cancellations() == [])
        // Counted since before it asked, however late the answer came.
        one.now += .milliseconds(1)
        #expect(one.start() == [])
        one.machine.timePassed(now: one.now)
        #expect(one.cancellations().count == 2)
        // What it was not let finish is no failure, and goes on when the owner is confirmed.
        one.fail(1)
        one.machine.confirmed(askedAt: one.now, now: one.now)
        #expect(one.start() == [4, 1])
    }

    @Test func `an answer that comes too late confirms nothing`() {
        let one = OnePartition { $0.confirmationLimit = .seconds(3) }
        one.read("a")
        one.wait(.seconds(10))
        one.machine.confirmed(askedAt: .seconds(6), now: one.now)
        #expect(one.start() == [])
        one.machine.confirmed(askedAt: .seconds(8), now: one.now)
        #expect(one.start() == [1])
    }

    @Test func `a lost partition is not taken again before its handlers have returned`() {
        let one = OnePartition()
        one.read("ab")
        one.start()
        one.machine.lost(0)
        #expect(one.cancellations().count == 2)
        #expect(!one.machine.mayClaim(0))
        one.succeed(1)
        #expect(!one.machine.mayClaim(0))
        one.succeed(2)
        #expect(one.machine.mayClaim(0))
        #expect(one.takeCheckpoints() == [])
    }

    @Test func `a checkpoint under another claim loses the partition`() {
        let one = OnePartition()
        one.read("a")
        one.start()
        one.succeed(1)
        let checkpoint = one.takeCheckpoints()
        #expect(checkpoint.count == 1)
        // Another one is not written beside it.
        #expect(one.takeCheckpoints() == [])
        one.machine.checkpointed(checkpoint[0], isOwned: false)
        #expect(one.machine.owned == [:])
    }

    @Test func `a partition is given back when its handlers have ended, with its checkpoint`() {
        let one = OnePartition()
        one.read("ab-")
        #expect(one.start() == [1, 2, 3])
        one.succeed(1)
        one.machine.release(0)
        #expect(one.takeCheckpoints().map(\.releases) == [false])
        one.read("c")
        one.succeed(2, 3)
        #expect(one.start() == [])
        // The one before is under way still.
        #expect(one.takeCheckpoints() == [])
    }

    @Test func `at its end it starts nothing, and gives everything back`() {
        let one = OnePartition { $0.concurrency = 1 }
        one.read("ab")
        one.start()
        one.machine.stop()
        one.succeed(1)
        #expect(one.start() == [] && one.machine.isIdle)
        let checkpoints = one.takeCheckpoints()
        #expect(checkpoints.map(\.passage?.position) == [1] && checkpoints.map(\.releases) == [true])
        one.machine.checkpointed(checkpoints[0], isOwned: true)
        #expect(one.machine.owned == [:])
    }

    // MARK: After an unclean end

    static let unclean = ProcessorMachine.Claimed(
        partition: 0, claim: 2, position: 10, delivered: nil, passed: nil, uncleanThrough: 13, attempts: [12: 4])

    @Test func `after an unclean end each start is counted durably before, and what may have caused it runs alone`() {
        let one = OnePartition(claimed: Self.unclean)
        one.read("abcde")
        // 12 was started before.
        #expect(one.start() == [])
        let suspect = one.counts()
        #expect(suspect.map(\.ids) == [[12]])
        #expect(one.start() == [] && one.counts() == [])
        one.machine.counted(suspect[0], [12: 5])
        #expect(one.start() == [12])
        one.succeed(12)
        // 14 and 15 came after that end.
        #expect(one.start() == [14, 15])
        let counts = one.counts()
        #expect(counts.map(\.ids) == [[11, 13]])
        one.machine.counted(counts[0], [11: 1, 13: 1])
        #expect(one.start() == [11, 13])
    }

    @Test func `an event that ends its process again and again is parked, and those beside it are not`() {
        // Both were under way each time.
        var attempts: [StreamID: Int] = [:]
        for life in 1...6 {
            let one = OnePartition(
                claimed: ProcessorMachine.Claimed(
                    partition: 0, claim: life, position: 10, delivered: nil, passed: nil, uncleanThrough: 12,
                    attempts: attempts)
            ) { $0.maximumAttempts = 3 }
            one.read("ab")
            while one.runs[11] == nil {
                let counts = one.counts()
                guard let count = counts.first else { break }
                for id in count.ids { attempts[id, default: 0] += 1 }
                one.machine.counted(count, attempts.filter { count.ids.contains($0.key) })
                one.start()
                if one.runs[11] == nil { one.succeed(12) }
            }
            if one.runs[11] != nil { continue }
            #expect(attempts == [11: 3, 12: 2])
            let passage = one.checkpoint()
            #expect(passage?.position == 12)
            #expect(passage?.parked.map(\.id) == [11] && passage?.parked.map(\.attempts) == [3])
            return
        }
        Issue.record("it was never parked")
    }

    @Test func `counts that could not be written are asked for again`() {
        let one = OnePartition(claimed: Self.unclean)
        one.read("ab")
        let counts = one.counts()
        #expect(counts.map(\.ids) == [[12]])
        #expect(one.counts() == [])
        one.machine.counted(counts[0], nil)
        #expect(one.counts() == counts)
    }

    // MARK: The order of partitions

    @Test func `in the order of partitions each event has the passage that its transaction writes`() {
        let one = OnePartition { $0.order = .partition }
        one.read("ab-")
        let first = one.machine.nextStart(now: one.now)
        #expect(first?.id == 1 && first?.passage?.position == 1)
        #expect(one.start() == [])
        one.machine.ended(first?.run ?? -1, .succeededDurably, now: one.now)
        #expect(one.takeCheckpoints() == [])
        let second = one.machine.nextStart(now: one.now)
        #expect(second?.passage?.position == 2 && second?.passage?.delivered?.count == 2)
    }
}

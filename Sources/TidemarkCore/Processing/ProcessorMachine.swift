import DequeModule
import HeapModule

/// What one process does for one processor: which event may start, what is done, where the checkpoints are. A state machine
/// without I/O: a function goes in for each thing that can happen, and what is to be done is asked for.
///
/// Invariants: no two handlers of one key run at once, nor after each other in another order than that of the stream, but for
/// what is tried again after it was parked. A checkpoint is never above an event that is neither handled nor parked with it. A
/// partition that is not owned, and one whose owner was not confirmed for too long, has nothing started.
public struct ProcessorMachine: Sendable {
    typealias Item = PartitionWindow.Item

    struct Ready {
        let partition: Int
        let claim: Int
        let item: Item
    }

    struct Delayed: Comparable {
        let due: Duration
        let number: Int
        let ready: Ready

        static func < (left: Delayed, right: Delayed) -> Bool { (left.due, left.number) < (right.due, right.number) }
        static func == (left: Delayed, right: Delayed) -> Bool { left.number == right.number }
    }

    struct Run {
        let partition: Int
        let claim: Int
        let item: Item
        let lane: PartitionWindow.LaneName?
        let startedAt: Duration
        var isOverdue = false
        var isCancelled = false
    }

    struct Owned {
        let claim: Int
        var window: PartitionWindow
        /// Up to there each start is counted durably; and how many events of the partition may come before that.
        var countsThrough: StreamID
        var countsLeft: Int
        /// How often each of them was started before.
        var counted: [StreamID: Int]
        var uncounted: Deque<StreamID> = []
        var isCounting = false
        var isCheckpointing = false
        var isReleasing = false
        var runs = 0
        /// Parked events that were tried again, and whose row was not written yet.
        var lateEndings = 0
    }

    /// How it works.
    public let configuration: Configuration
    var partitions: [Int: Owned] = [:]
    var runs: [Int: Run] = [:]
    var ready: Deque<Ready> = []
    /// Started before an unclean end: each of them may be what ended the process, and is counted and run alone. So of those
    /// that run beside it at such an end none is counted again with it.
    var suspects: Deque<Ready> = []
    var isCountingSuspect = false
    var countedSuspect: Ready?
    var suspectRun: Int?
    private var delayed: Heap<Delayed> = []
    private var cancellations: [Int] = []
    var lateEndings: [LateEnding] = []
    /// What was parked durably since somebody asked.
    var parked: [ParkingNote] = []
    /// Parked events that were taken in to be tried again when their partition was given up.
    var untried: [StreamID] = []
    var overdueCount = 0
    var uncountedCount = 0
    private var lastNumber = 0
    private var confirmedAt: Duration
    private var isUnconfirmed = false
    /// Whether nothing more is started.
    public internal(set) var isStopping = false
    /// Why it stops; nothing more is started then.
    public private(set) var failure: Failure?
    /// How many events were parked.
    public private(set) var parkedCount = 0

    /// Owns nothing yet. Traps unless there is room for an attempt, a handler and an event.
    public init(configuration: Configuration, now: Duration) {
        precondition(configuration.concurrency > 0 && configuration.maximumAttempts > 0, "there must be a first one")
        precondition(configuration.windowEvents > 0 && configuration.windowBytes > 0, "there must be room for an event")
        self.configuration = configuration
        confirmedAt = now
    }

    // MARK: Owning

    /// The partitions that it owns, and the claim of each.
    public var owned: [Int: Int] { partitions.mapValues(\.claim) }

    /// The partitions in the order of their numbers: that of a dictionary is another one in each process.
    var inOrder: [Dictionary<Int, Owned>.Index] {
        partitions.keys.sorted().compactMap { partitions.index(forKey: $0) }
    }

    /// Whether the partition may be claimed: no handler of an earlier claim of it runs in this process.
    public func mayClaim(_ partition: Int) -> Bool {
        !isStopping && failure == nil && partitions[partition] == nil
            && (overlapping[partition] ?? 0) == 0
    }

    /// How many runs of claims that are over there are.
    private var overlapping: [Int: Int] = [:]

    /// The database has given this process the partition. Traps where it is owned already: ask ``mayClaim(_:)`` before.
    public mutating func claimed(_ claimed: Claimed) {
        precondition(mayClaim(claimed.partition), "partition \(claimed.partition) is owned already, or handled still")
        let limit: Int? = if case .parkAndHoldKey(let limit) = configuration.whenExhausted { limit } else { nil }
        partitions[claimed.partition] = Owned(
            claim: claimed.claim,
            window: PartitionWindow(
                position: claimed.position, delivered: claimed.delivered, passed: claimed.passed,
                maximumCount: configuration.windowEvents, maximumBytes: configuration.windowBytes,
                isOneLane: configuration.order == .partition, heldLimit: limit, mostHeld: configuration.mostHeld,
                held: claimed.held),
            countsThrough: claimed.uncleanThrough ?? claimed.attempts.keys.max() ?? 0,
            countsLeft: configuration.windowEvents, counted: claimed.attempts)
        // Which other keys are held is not known then.
        let ids = claimed.held.values.joined()
        if limit != nil, ids.count >= Claimed.mostHeld {
            failure = failure ?? .tooManyHeld(ids.max() ?? 0, limit: configuration.mostHeld)
        }
    }

    /// Another process has the partition, or its state in the database is not known: its handlers are cancelled, and what they
    /// do counts no more.
    public mutating func lost(_ partition: Int) {
        guard let owned = partitions.removeValue(forKey: partition) else { return }
        uncountedCount -= owned.uncounted.count
        for number in runs.keys.sorted()
        where runs[number]?.partition == partition && runs[number]?.claim == owned.claim {
            overlapping[partition, default: 0] += 1
            cancel(number)
        }
        // Those that have ended too: what was made of them counts no more.
        untried += owned.window.lateIDs
        untried += lateEndings.lazy.filter { $0.partition == partition && $0.note == nil }.map(\.id)
        lateEndings.removeAll { $0.partition == partition }
    }

    /// Nothing more of it is started; it is given back with a checkpoint, when its handlers have ended.
    public mutating func release(_ partition: Int) { partitions[partition]?.isReleasing = true }

    /// Whether a partition is about to be given back.
    public var isReleasing: Bool { partitions.values.contains(where: \.isReleasing) }

    /// The database has taken a heartbeat of this process.
    ///
    /// - Parameter askedAt: when it was asked; on a clock that goes on while the machine is suspended.
    public mutating func confirmed(askedAt: Duration, now: Duration) {
        confirmedAt = max(confirmedAt, askedAt)
        if isConfirmed(now) { isUnconfirmed = false }
    }

    private func isConfirmed(_ now: Duration) -> Bool { now - confirmedAt < configuration.confirmationLimit }

    // MARK: Reading

    /// From where to read; nil while no partition has room.
    public mutating func nextRead() -> Read? {
        if isStopping || failure != nil { return nil }
        var least: PartitionWindow?
        for index in inOrder where !partitions.values[index].isReleasing {
            guard partitions.values[index].window.mayRead() else { continue }
            let window = partitions.values[index].window
            if least.map({ window.readThrough < $0.readThrough }) ?? true { least = window }
        }
        return least.map { Read(after: $0.readThrough, passed: $0.lastRead) }
    }

    /// What was read after a place that ``nextRead()`` gave, ascending. Returns which of the events were taken in, by their
    /// indexes, and their partitions; others have been before, are not this process's, or found no room and are read again.
    ///
    /// - Parameter through: nothing more is at or below it.
    public mutating func read(
        after place: StreamID, _ events: [EventToHandle], through: StreamID, snapshot: SnapshotMark
    ) -> [(index: Int, partition: Int)] {
        var takers: [Int: Bool] = [:]
        for index in partitions.values.indices {
            guard !partitions.values[index].isReleasing, partitions.values[index].window.readThrough >= place,
                partitions.values[index].window.mayRead()
            else { continue }
            takers[partitions.keys[index]] = true
        }
        var taken: [(index: Int, partition: Int)] = []
        taken.reserveCapacity(events.count)
        var startable: [Item] = []
        for (place, event) in events.enumerated() {
            let partition = PartitionHash.partition(ofKey: event.key, id: event.id, of: configuration.partitions)
            guard takers[partition] == true, let index = partitions.index(forKey: partition),
                event.id > partitions.values[index].window.readThrough
            else { continue }
            guard partitions.values[index].window.take(event, ready: &startable) else {
                takers[partition] = false
                continue
            }
            taken.append((place, partition))
            limitCounting(of: index, at: event.id)
            makeReady(&startable, partition, index)
        }
        for (partition, isWhole) in takers {
            guard let index = partitions.index(forKey: partition) else { continue }
            partitions.values[index].window.batchEnded(through: through, snapshot: snapshot, isWhole: isWhole)
            checkHeld(index)
        }
        return taken
    }

    /// The one before can have started no event beyond its window.
    private mutating func limitCounting(of index: Dictionary<Int, Owned>.Index, at id: StreamID) {
        guard id <= partitions.values[index].countsThrough else { return }
        partitions.values[index].countsLeft -= 1
        if partitions.values[index].countsLeft <= 0 { partitions.values[index].countsThrough = id }
    }

    private mutating func checkHeld(_ index: Dictionary<Int, Owned>.Index) {
        if failure == nil, let overfull = partitions.values[index].window.overfull {
            failure = .tooManyHeld(overfull.id, limit: overfull.limit)
        }
    }

    /// A parked event of an owned partition is to be tried again; whether it is taken in now.
    public mutating func retry(_ id: StreamID, key: String?, partition: Int, claim: Int) -> Bool {
        guard let index = partitions.index(forKey: partition), partitions.values[index].claim == claim,
            !partitions.values[index].isReleasing, !isStopping
        else { return false }
        var startable: [Item] = []
        guard partitions.values[index].window.takeLate(id, key: key, ready: &startable) else { return false }
        makeReady(&startable, partition, index)
        return true
    }

    /// What the database has parked of an owned partition, where keys are held: a key of which nothing is left goes on.
    ///
    /// - Parameter place: ``position(of:)`` before the database was asked.
    public mutating func parkedAreNow(_ ids: Set<StreamID>, at place: StreamID, partition: Int, claim: Int) {
        guard let index = partitions.index(forKey: partition), partitions.values[index].claim == claim else { return }
        partitions.values[index].window.heldAreNow(ids, at: place)
    }

    // MARK: Starting

    private mutating func makeReady(
        _ items: inout [Item], _ partition: Int, _ index: Dictionary<Int, Owned>.Index
    ) {
        if items.isEmpty { return }
        for item in items {
            if !item.isLate, partitions.values[index].counted[item.id] != nil {
                suspects.append(Ready(partition: partition, claim: partitions.values[index].claim, item: item))
            } else if !item.isLate, item.id <= partitions.values[index].countsThrough {
                partitions.values[index].uncounted.append(item.id)
                uncountedCount += 1
            } else {
                ready.append(Ready(partition: partition, claim: partitions.values[index].claim, item: item))
            }
        }
        items.removeAll(keepingCapacity: true)
    }

    func mayStart(_ now: Duration) -> Bool {
        failure == nil && !isStopping && !isUnconfirmed && isConfirmed(now)
    }

    /// The next handler to call; nil where none may be.
    public mutating func nextStart(now: Duration) -> Start? {
        guard mayStart(now), suspectRun == nil else { return nil }
        // Handlers that run over their limit hold nobody up, but there is a bound for them too.
        let counting = runs.count - min(overdueCount, configuration.concurrency)
        guard counting < configuration.concurrency else { return nil }
        if let next = countedSuspect.take(), isOwned(next) {
            let start = begin(next, now)
            suspectRun = start.run
            return start
        }
        guard suspects.isEmpty, !isCountingSuspect else { return nil }
        while let next = ready.popFirst() {
            if isOwned(next) { return begin(next, now) }
        }
        return nil
    }

    func isOwned(_ next: Ready) -> Bool {
        guard let owned = partitions[next.partition] else { return false }
        return owned.claim == next.claim && !owned.isReleasing
    }

    private mutating func begin(_ next: Ready, _ now: Duration) -> Start {
        lastNumber += 1
        guard let index = partitions.index(forKey: next.partition) else {
            preconditionFailure("what starts is of a partition that is owned")
        }
        partitions.values[index].runs += 1
        let window = partitions.values[index].window
        runs[lastNumber] = Run(
            partition: next.partition, claim: next.claim, item: next.item, lane: window.lane(of: next.item),
            startedAt: now)
        return Start(
            run: lastNumber, partition: next.partition, claim: next.claim, id: next.item.id,
            attempt: window.attempts(of: next.item) + 1, isLate: next.item.isLate,
            passage: configuration.order == .partition && !next.item.isLate ? window.passageOfFirst : nil)
    }

    /// A handler has returned.
    ///
    /// - Parameter random: uniform in 0..<1, for the delay before the next attempt.
    /// - Returns: whether the event is needed no more.
    @discardableResult
    public mutating func ended(_ number: Int, _ ending: Ending, now: Duration, random: Double = 0) -> Bool {
        guard let run = runs.removeValue(forKey: number) else { preconditionFailure("run \(number) ended twice") }
        if suspectRun == number { suspectRun = nil }
        if run.isOverdue { overdueCount -= 1 }
        guard let index = partitions.index(forKey: run.partition), partitions.values[index].claim == run.claim else {
            let rest = (overlapping[run.partition] ?? 1) - 1
            overlapping[run.partition] = rest > 0 ? rest : nil
            return true
        }
        partitions.values[index].runs -= 1
        var startable: [Item] = []
        if run.isOverdue {
            if ending == .succeededDurably, !run.item.isLate { partitions.values[index].window.passedLate(run.item) }
            partitions.values[index].window.returned(run.lane, run.item, ready: &startable)
            makeReady(&startable, run.partition, index)
            return true
        }
        switch ending {
        case .succeeded, .succeededDurably:
            partitions.values[index].counted[run.item.id] = nil
            if run.item.isLate { endLate(run.item.id, index, run.partition, note: nil) }
            partitions.values[index].window.succeeded(run.item, ready: &startable)
            if ending == .succeededDurably, !run.item.isLate {
                parked += partitions.values[index].window.checkpointed(run.item.id)
            }
            makeReady(&startable, run.partition, index)
            return true
        case .failed where run.isCancelled:
            // It was not let finish: no attempt of its own.
            again(run.item, index, run.partition)
            return false
        case .failed(let problem):
            let attempts = partitions.values[index].window.attempts(of: run.item) + 1
            partitions.values[index].window.setAttempts(attempts, of: run.item)
            guard attempts < configuration.maximumAttempts else {
                exhausted(run.item, index, run.partition, attempts: attempts, problem: problem)
                return true
            }
            delay(run, after: attempts, now, random)
            return false
        }
    }

    private mutating func again(_ item: Item, _ index: Dictionary<Int, Owned>.Index, _ partition: Int) {
        var items = [item]
        makeReady(&items, partition, index)
    }

    private mutating func delay(_ run: Run, after attempts: Int, _ now: Duration, _ random: Double) {
        var ceiling = configuration.shortestDelay
        for _ in 1..<attempts where ceiling < configuration.longestDelay { ceiling *= 2 }
        ceiling = min(ceiling, configuration.longestDelay)
        lastNumber += 1
        delayed.insert(
            Delayed(
                due: now + ceiling / 2 + ceiling / 2 * random, number: lastNumber,
                ready: Ready(partition: run.partition, claim: run.claim, item: run.item)))
    }

    mutating func exhausted(
        _ item: Item, _ index: Dictionary<Int, Owned>.Index, _ partition: Int, attempts: Int, problem: String
    ) {
        let note = ParkingNote(id: item.id, reason: .exhausted, attempts: attempts, problem: problem)
        if !item.isLate, configuration.whenExhausted == .stop {
            failure = failure ?? .exhausted(note)
            return
        }
        var startable: [Item] = []
        parkedCount += 1
        if item.isLate { endLate(item.id, index, partition, note: note) }
        partitions.values[index].window.park(item, note, ready: &startable)
        checkHeld(index)
        makeReady(&startable, partition, index)
    }

    private mutating func endLate(
        _ id: StreamID, _ index: Dictionary<Int, Owned>.Index, _ partition: Int, note: ParkingNote?
    ) {
        partitions.values[index].lateEndings += 1
        lateEndings.append(
            LateEnding(partition: partition, claim: partitions.values[index].claim, id: id, note: note))
    }

    // MARK: Time

    /// When ``timePassed(now:)`` is to be called, if nothing happens before; nil: never.
    public var nextDeadline: Duration? {
        var deadline = delayed.min?.due
        if let limit = configuration.timeLimit,
            let first = runs.values.lazy.filter({ !$0.isOverdue }).map(\.startedAt).min()
        {
            deadline = min(deadline ?? first + limit, first + limit)
        }
        if !isUnconfirmed, !partitions.isEmpty {
            let end = confirmedAt + configuration.confirmationLimit
            deadline = min(deadline ?? end, end)
        }
        return deadline
    }

    /// To be called now and then, and when something was due: what was not confirmed for too long is cancelled.
    public mutating func timePassed(now: Duration) {
        if !isUnconfirmed, !isConfirmed(now) {
            isUnconfirmed = true
            for number in runs.keys.sorted() { cancel(number) }
        }
        while let first = delayed.min, first.due <= now {
            delayed.removeMin()
            guard isOwned(first.ready), let index = partitions.index(forKey: first.ready.partition) else { continue }
            again(first.ready.item, index, first.ready.partition)
        }
        if let limit = configuration.timeLimit {
            for (number, run) in runs.sorted(by: { $0.key < $1.key }) where run.startedAt + limit <= now {
                overrun(number, limit)
            }
        }
    }

    private mutating func overrun(_ number: Int, _ limit: Duration) {
        guard let run = runs[number], !run.isOverdue,
            let index = partitions.index(forKey: run.partition), partitions.values[index].claim == run.claim
        else { return }
        runs[number]?.isOverdue = true
        overdueCount += 1
        if suspectRun == number { suspectRun = nil }
        cancel(number)
        let attempts = partitions.values[index].window.attempts(of: run.item) + 1
        let note = ParkingNote(
            id: run.item.id, reason: .timeLimit, attempts: attempts,
            problem: "its handler ran for longer than \(limit)")
        parkedCount += 1
        if run.item.isLate { endLate(run.item.id, index, run.partition, note: note) }
        partitions.values[index].window.overrun(run.item, note)
        checkHeld(index)
    }

    mutating func cancel(_ number: Int) {
        guard runs[number]?.isCancelled == false else { return }
        runs[number]?.isCancelled = true
        cancellations.append(number)
    }

    /// The runs to be cancelled.
    public mutating func takeCancellations() -> [Int] {
        defer { cancellations = [] }
        return cancellations
    }

    /// Events that were parked without being started, and are needed no more.
    public mutating func takeDropped() -> [(partition: Int, id: StreamID)] {
        var dropped: [(partition: Int, id: StreamID)] = []
        // It is asked after each event.
        guard partitions.values.contains(where: \.window.hasDropped) else { return dropped }
        for index in inOrder where partitions.values[index].window.hasDropped {
            let partition = partitions.keys[index]
            dropped += partitions.values[index].window.takeDropped().map { (partition, $0) }
        }
        return dropped
    }
}

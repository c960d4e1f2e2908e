import DequeModule

/// An event as a processor orders it; the owner of the machine keeps what the handler gets.
public struct EventToHandle: Hashable, Sendable {
    /// The event's place in the stream.
    public let id: StreamID
    /// The mark of its commit.
    public let mark: CommitMark
    /// Nil when it is about nothing in particular: then it waits for no other event.
    public let key: String?
    /// The size of its payload.
    public let bytes: Int

    /// Nothing is checked: events come as a snapshot has them.
    public init(id: StreamID, mark: CommitMark, key: String?, bytes: Int = 0) {
        self.id = id
        self.mark = mark
        self.key = key
        self.bytes = bytes
    }
}

/// Why an event was parked.
public enum ParkedReason: Int, Hashable, Sendable, CustomStringConvertible {
    /// Its handler failed as often as is allowed.
    case exhausted = 0
    /// Its handler ran over the time limit.
    case timeLimit = 1
    /// An earlier event of its key is parked, or its handler has not returned.
    case behind = 2

    /// One word, for logs and the program.
    public var description: String {
        switch self {
        case .exhausted: "failed"
        case .timeLimit: "time_limit"
        case .behind: "behind"
        }
    }
}

/// An event that is to be parked: its copy is written in the transaction that passes it.
public struct ParkingNote: Hashable, Sendable {
    /// The event's place in the stream.
    public let id: StreamID
    /// Why it is put aside.
    public let reason: ParkedReason
    /// How often its handler was called.
    public let attempts: Int
    /// What went wrong last, 1,000 characters at most.
    public let problem: String

    /// Cuts the problem off after 1,000 characters.
    public init(id: StreamID, reason: ParkedReason, attempts: Int, problem: String) {
        self.id = id
        self.reason = reason
        self.attempts = attempts
        self.problem = String(problem.prefix(1_000))
    }
}

/// A key as its bytes: Swift's `==` equates texts of different bytes.
struct KeyBytes: Hashable, Sendable {
    let text: String

    static func == (left: KeyBytes, right: KeyBytes) -> Bool {
        left.text.utf8.count == right.text.utf8.count && left.text.utf8.elementsEqual(right.text.utf8)
    }

    func hash(into hasher: inout Hasher) {
        let isHashed: Void? = text.utf8.withContiguousStorageIfAvailable {
            hasher.combine(bytes: UnsafeRawBufferPointer($0))
        }
        if isHashed == nil { for byte in text.utf8 { hasher.combine(byte) } }
    }
}

/// One partition of a processor, for as long as a process owns it: what was read and is not yet passed durably, in which order
/// it may start, what is done, and how far the checkpoint may go.
///
/// Invariants: the slots ascend, and each event of the partition between the durable position and what was read is in one of
/// them. Of each lane one event at most is started, or about to be; the others wait. The checkpoint is just below the lowest
/// event that is not done.
struct PartitionWindow: Sendable {
    /// One event, or a parked one that is tried again.
    struct Item: Hashable, Sendable {
        let id: StreamID
        let isLate: Bool
    }

    /// What is handled one after the other.
    enum LaneName: Hashable, Sendable {
        case key(KeyBytes)
        case whole
    }

    private struct Slot {
        let id: StreamID
        let mark: CommitMark
        let key: KeyBytes?
        let bytes: Int
        var isDone = false
    }

    private struct Lane {
        var waiting: Deque<Item> = []
        /// The event whose handler runs over its limit: what follows is parked behind it.
        var overdue: StreamID?
    }

    private let maximumCount: Int
    private let maximumBytes: Int
    private let isOneLane: Bool
    /// The parked events of each key that is held, ascending; none where later events of a key go on.
    private var held: [KeyBytes: [StreamID]]
    private var heldCount = 0
    private let heldLimit: Int?
    private let mostHeld: Int

    private var slots: Deque<Slot> = []
    /// How many of the first slots are done.
    private var prefix = 0
    /// Of events that are not done.
    private var bytes = 0
    private var lanes: [LaneName: Lane] = [:]
    private var lateKeys: [StreamID: KeyBytes?] = [:]
    private var attempts: [Item: Int] = [:]
    private var notes: [StreamID: ParkingNote] = [:]
    private var passedNotes: Deque<ParkingNote> = []
    private var segments: Deque<(through: StreamID, mark: SnapshotMark)> = []
    private var isFull = false
    private var dropped: [StreamID] = []
    private var passedSum: DeliveredSum?
    private var passedLast: Delivered?

    /// The durable checkpoint.
    private(set) var position: StreamID
    /// Everything of the partition up to there is in the window, or was passed.
    private(set) var readThrough: StreamID
    /// The last event that was read.
    private(set) var lastRead: Delivered?
    /// A key whose parked events are more than may be: the processor stops.
    private(set) var overfull: (id: StreamID, limit: Int)?

    /// - Parameters:
    ///   - heldLimit: how many events of one key may be parked; nil where later events of a key go on.
    ///   - mostHeld: how many events of all keys that are held may be.
    ///   - held: the keys that are held, by their UTF-8, and what of them is parked; only looked at where keys are held.
    init(
        position: StreamID, delivered: DeliveredSum?, passed: Delivered?, maximumCount: Int, maximumBytes: Int,
        isOneLane: Bool, heldLimit: Int?, mostHeld: Int, held: [[UInt8]: [StreamID]]
    ) {
        self.position = position
        readThrough = position
        lastRead = passed
        passedSum = delivered
        passedLast = passed
        self.maximumCount = maximumCount
        self.maximumBytes = maximumBytes
        self.isOneLane = isOneLane
        self.heldLimit = heldLimit
        self.mostHeld = mostHeld
        self.held = [:]
        if heldLimit != nil {
            for (key, ids) in held { self.held[KeyBytes(text: String(decoding: key, as: UTF8.self))] = ids.sorted() }
            heldCount = held.values.reduce(0) { $0 + $1.count }
        }
    }

    /// How many events are between the durable checkpoint and what was read.
    var count: Int { slots.count }

    /// Whether more may be read. A window that was full reads on when half of it is free: it has to look for its place again.
    mutating func mayRead() -> Bool {
        if isFull, slots.count <= maximumCount / 2, bytes <= maximumBytes / 2 { isFull = false }
        return !isFull
    }

    // MARK: What may start

    /// Takes the event in, if there is room. What may start is appended to `ready`.
    mutating func take(_ event: EventToHandle, ready: inout [Item]) -> Bool {
        guard slots.count < maximumCount, bytes < maximumBytes else {
            isFull = true
            return false
        }
        let key = event.key.map { KeyBytes(text: $0) }
        let lane = lane(of: key)
        let item = Item(id: event.id, isLate: false)
        slots.append(Slot(id: event.id, mark: event.mark, key: key, bytes: event.bytes))
        bytes += event.bytes
        readThrough = event.id
        lastRead = Delivered(streamID: event.id, mark: event.mark)
        guard let lane else {
            ready.append(item)
            return true
        }
        if lanes[lane]?.overdue != nil || isHeld(key) {
            parkBehind(item, lane)
            return true
        }
        enter(item, lane, &ready)
        return true
    }

    /// The batch has ended: nothing more of this partition is at or below its end.
    mutating func batchEnded(through end: StreamID, snapshot: SnapshotMark, isWhole: Bool) {
        if isWhole { readThrough = max(readThrough, end) }
        if segments.last?.through ?? position < readThrough { segments.append((readThrough, snapshot)) }
    }

    /// A parked event is tried again, in its turn among those of its key. Where its key is held, only the first of them may be.
    mutating func takeLate(_ id: StreamID, key: String?, ready: inout [Item]) -> Bool {
        let key = key.map { KeyBytes(text: $0) }
        guard lateKeys[id] == nil else { return false }
        if let key, let held = held[key], held.first != id { return false }
        lateKeys[id] = .some(key)
        let item = Item(id: id, isLate: true)
        if let lane = lane(of: key) { enter(item, lane, &ready) } else { ready.append(item) }
        return true
    }

    /// The parked events that were taken in to be tried again, and have not come to an end.
    var lateIDs: [StreamID] { lateKeys.keys.sorted() }

    private func lane(of key: KeyBytes?) -> LaneName? { isOneLane ? .whole : key.map { .key($0) } }

    private func isHeld(_ key: KeyBytes?) -> Bool { key.map { held[$0] != nil } ?? false }

    private mutating func enter(_ item: Item, _ name: LaneName, _ ready: inout [Item]) {
        guard let index = lanes.index(forKey: name) else {
            lanes[name] = Lane()
            ready.append(item)
            return
        }
        lanes.values[index].waiting.append(item)
    }

    /// The lane's next one, when the one before has ended.
    private mutating func leave(_ name: LaneName?, _ ready: inout [Item]) {
        guard let name, let index = lanes.index(forKey: name) else { return }
        if let next = lanes.values[index].waiting.popFirst() {
            ready.append(next)
        } else {
            lanes.remove(at: index)
        }
    }

    private func key(of item: Item) -> KeyBytes? {
        item.isLate ? lateKeys[item.id] ?? nil : slots[index(of: item.id)].key
    }

    // MARK: What becomes of it

    /// How often the handler was called for it, without success.
    func attempts(of item: Item) -> Int { attempts[item] ?? 0 }

    mutating func setAttempts(_ count: Int, of item: Item) { attempts[item] = count }

    /// It was handled.
    mutating func succeeded(_ item: Item, ready: inout [Item]) {
        let key = key(of: item)
        attempts[item] = nil
        if item.isLate {
            lateKeys[item.id] = nil
            release(item.id, key)
        } else {
            finish(item.id)
        }
        leave(lane(of: key), &ready)
    }

    /// It will not be tried again.
    mutating func park(_ item: Item, _ note: ParkingNote, ready: inout [Item]) {
        let key = key(of: item)
        let lane = lane(of: key)
        attempts[item] = nil
        if item.isLate {
            lateKeys[item.id] = nil
            return leave(lane, &ready)
        }
        notes[item.id] = note
        finish(item.id)
        if let key, let lane, heldLimit != nil {
            hold(item.id, key)
            parkWaiting(lane, of: key)
        }
        leave(lane, &ready)
    }

    /// Its handler runs over the limit: it is parked, its key stays blocked, and what follows is parked behind it.
    mutating func overrun(_ item: Item, _ note: ParkingNote) {
        let key = key(of: item)
        attempts[item] = nil
        if !item.isLate {
            notes[item.id] = note
            finish(item.id)
            if let key { hold(item.id, key) }
        }
        guard let lane = lane(of: key) else { return }
        lanes[lane]?.overdue = item.id
        parkWaiting(lane, of: nil)
    }

    /// The handler that ran over its limit has returned. An event that is read later goes on.
    mutating func returned(_ lane: LaneName?, _ item: Item, ready: inout [Item]) {
        if item.isLate { lateKeys[item.id] = nil }
        guard let lane else { return }
        lanes[lane]?.overdue = nil
        leave(lane, &ready)
    }

    /// The handler that ran over its limit has committed all the same: its event was handled, and neither is parked nor holds its key.
    mutating func passedLate(_ item: Item) {
        notes[item.id] = nil
        passedNotes.removeAll { $0.id == item.id }
        for (key, ids) in held where ids.contains(item.id) { release(item.id, key) }
    }

    /// The lane of an event that has started, for ``returned(_:_:ready:)``: its slot may be gone by then.
    func lane(of item: Item) -> LaneName? { lane(of: key(of: item)) }

    /// All that waits, of one key or of all, but for what is tried again, which is parked already.
    private mutating func parkWaiting(_ name: LaneName, of key: KeyBytes?) {
        guard let waiting = lanes[name]?.waiting else { return }
        let parked = waiting.filter { item in
            !item.isLate && (!isOneLane || key == nil || self.key(of: item) == key)
        }
        let ids = Set(parked.map(\.id))
        lanes[name]?.waiting = Deque(waiting.filter { $0.isLate || !ids.contains($0.id) })
        for item in parked { parkBehind(item, name) }
    }

    private mutating func parkBehind(_ item: Item, _ lane: LaneName) {
        let key = key(of: item)
        let what: String
        if let overdue = lanes[lane]?.overdue {
            what = "event \(overdue) of its \(isOneLane ? "partition" : "key")"
        } else {
            what = key.flatMap { held[$0]?.first }.map { "event \($0) of its key" } ?? "an event of its key"
        }
        notes[item.id] = ParkingNote(id: item.id, reason: .behind, attempts: 0, problem: what + " is parked")
        dropped.append(item.id)
        finish(item.id)
        if let key { hold(item.id, key) }
    }

    var hasDropped: Bool { !dropped.isEmpty }

    /// Events that were parked without being started.
    mutating func takeDropped() -> [StreamID] {
        defer { dropped = [] }
        return dropped
    }

    /// Where keys are held.
    private mutating func hold(_ id: StreamID, _ key: KeyBytes) {
        guard let heldLimit else { return }
        held[key, default: []].append(id)
        heldCount += 1
        if let count = held[key]?.count, count > heldLimit { overfull = (id, heldLimit) }
        if heldCount > mostHeld { overfull = (id, mostHeld) }
    }

    /// It was handled late, or dropped.
    private mutating func release(_ id: StreamID, _ key: KeyBytes?) {
        guard let key, let ids = held[key] else { return }
        keep(ids.filter { $0 != id }, of: key, before: ids.count)
    }

    private mutating func keep(_ ids: [StreamID], of key: KeyBytes, before count: Int) {
        held[key] = ids.isEmpty ? nil : ids
        heldCount -= count - ids.count
    }

    /// What of the held keys is parked, as the database said when the checkpoint was at `place`.
    mutating func heldAreNow(_ ids: Set<StreamID>, at place: StreamID) {
        for (key, known) in held {
            // What was not passed by then was not there yet.
            keep(known.filter { $0 > place || ids.contains($0) }, of: key, before: known.count)
        }
    }

    // MARK: How far it has come

    private mutating func finish(_ id: StreamID) {
        let index = index(of: id)
        precondition(!slots[index].isDone, "event \(id) is done twice")
        slots[index].isDone = true
        bytes -= slots[index].bytes
        while prefix < slots.count, slots[prefix].isDone {
            let slot = slots[prefix]
            passedSum?.add(slot.id, mark: slot.mark)
            passedLast = Delivered(streamID: slot.id, mark: slot.mark)
            if let note = notes.removeValue(forKey: slot.id) { passedNotes.append(note) }
            prefix += 1
        }
    }

    /// Just below the lowest event that is not done.
    var reached: StreamID { prefix < slots.count ? StreamID(slots[prefix].id.rawValue - 1) : readThrough }

    /// What the next checkpoint says; nil where it would say nothing new.
    var passage: Passage? {
        guard reached > position else { return nil }
        return Passage(
            begin: position, position: reached, delivered: passedSum, passed: passedLast,
            snapshot: snapshot(at: reached), parked: Array(passedNotes))
    }

    /// The same if the first event that is not done were.
    var passageOfFirst: Passage? {
        guard prefix < slots.count else { return nil }
        let slot = slots[prefix]
        var delivered = passedSum
        delivered?.add(slot.id, mark: slot.mark)
        return Passage(
            begin: position, position: slot.id, delivered: delivered,
            passed: Delivered(streamID: slot.id, mark: slot.mark),
            snapshot: snapshot(at: slot.id), parked: Array(passedNotes))
    }

    /// That of the first snapshot that showed everything up to there.
    private func snapshot(at position: StreamID) -> SnapshotMark? {
        (segments.first { $0.through >= position } ?? segments.last)?.mark
    }

    /// The checkpoint is durable. What was parked with it is returned.
    mutating func checkpointed(_ position: StreamID) -> [ParkingNote] {
        guard position > self.position else { return [] }
        self.position = position
        while prefix > 0, let first = slots.first, first.id <= position {
            slots.removeFirst()
            prefix -= 1
        }
        var parked: [ParkingNote] = []
        while let first = passedNotes.first, first.id <= position { parked.append(passedNotes.removeFirst()) }
        while segments.count > 1, let first = segments.first, first.through <= position { segments.removeFirst() }
        return parked
    }

    private func index(of id: StreamID) -> Int {
        var low = 0
        var high = slots.count
        while low < high {
            let middle = low + (high - low) / 2
            if slots[middle].id < id { low = middle + 1 } else { high = middle }
        }
        precondition(low < slots.count && slots[low].id == id, "event \(id) is not in the window")
        return low
    }
}

/// What a checkpoint of a partition says.
public struct Passage: Hashable, Sendable {
    /// What was passed durably before, as far as its process knows: what was parked up to there is not parked again. A database
    /// in which the partition is below has lost that, and takes the claim for over.
    public let begin: StreamID
    /// Everything of the partition at or below it is done.
    public let position: StreamID
    /// What was passed from the beginning of the partition; nil where that is not known.
    public let delivered: DeliveredSum?
    /// The last event of the partition at or below the position; nil where there is none.
    public let passed: Delivered?
    /// What the snapshot had seen that showed everything up to the position; nil where nothing was read since the claim.
    public let snapshot: SnapshotMark?
    /// What is parked in the transaction that passes it, ascending.
    public let parked: [ParkingNote]

    /// For a window, which makes it of what is done, and for tests of stores.
    public init(
        begin: StreamID = 0, position: StreamID, delivered: DeliveredSum?, passed: Delivered?, snapshot: SnapshotMark?,
        parked: [ParkingNote] = []
    ) {
        self.begin = begin
        self.position = position
        self.delivered = delivered
        self.passed = passed
        self.snapshot = snapshot
        self.parked = parked
    }
}

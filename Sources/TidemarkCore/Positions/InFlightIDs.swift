import DequeModule

/// The IDs that were handed out to this instance and are not finished, in ascending order.
///
/// IDs come in almost ascending order and mostly finish near the lower end, so they lie in a deque: finding one takes
/// an interpolation search, finishing marks it, and marked IDs at the lower end are dropped. Marked IDs behind one that is
/// stuck are handed over as ranges from time to time, so that memory follows the number of IDs in flight.
public struct InFlightIDs: Sendable {
    /// One ID, and who holds it.
    public struct Entry: Sendable {
        /// The ID.
        public let id: StreamID
        /// Which scope holds it: the IDs of one scope share a number.
        public let scope: Int
        /// When the scope runs over its limit, on the caller's clock.
        public let deadline: Duration
        /// When it was handed out, on the same clock.
        public let since: Duration
        /// How far it has come.
        public internal(set) var phase: Phase
    }

    /// From the handing out of an ID to its end.
    public enum Phase: Hashable, Sendable {
        /// The scope's body runs.
        case held
        /// The scope ran over its limit or failed, and the database has not yet confirmed what became of the ID.
        case givenUp
        /// Nothing more will appear under the ID.
        case finished
    }

    private var entries: Deque<Entry> = []
    private var finishedCount = 0

    /// Nothing is in flight.
    public init() {}

    /// How many IDs are in flight.
    public var count: Int { entries.count - finishedCount }
    /// The lowest ID in flight. (The lower end never holds a finished one.)
    public var lowest: Entry? { entries.first }
    /// The same without the rest of its entry, for the hot path.
    var lowestID: StreamID? { entries.isEmpty ? nil : entries[0].id }

    /// All of them, ascending. Takes time with their number: for tests and for people.
    public var inFlight: [Entry] { entries.filter { $0.phase != .finished } }

    /// Whether the ID is in flight.
    public func contains(_ id: StreamID) -> Bool { phase(of: id).map { $0 != .finished } ?? false }

    /// How far the ID has come; nil when it is not here, or was dropped since it finished.
    public func phase(of id: StreamID) -> Phase? {
        index(of: id).map { entries[$0].phase }
    }

    /// - Precondition: the ID is not in flight already.
    public mutating func insert(_ id: StreamID, scope: Int, since: Duration, deadline: Duration) {
        let entry = Entry(id: id, scope: scope, deadline: deadline, since: since, phase: .held)
        if entries.isEmpty || entries[entries.count - 1].id < id {
            entries.append(entry)
            return
        }
        // Two fetches under way at once, and the later answer came first.
        let place = lowerBound(id)
        precondition(entries[place].id != id, "ID \(id) is in flight already")
        entries.insert(entry, at: place)
    }

    /// The ID stays in flight, but its scope does not hold it any more. False when it did not, also where another scope does:
    /// another life of the database has handed the ID out again.
    public mutating func giveUp(_ id: StreamID, scope: Int) -> Bool {
        guard let index = index(of: id), entries[index].phase == .held, entries[index].scope == scope else {
            return false
        }
        entries[index].phase = .givenUp
        return true
    }

    /// Marks the ID as finished; false when it was not in flight, or is not held although it has to be.
    ///
    /// `passed` is called with the IDs that have nothing in flight below them any more, or are handed over because
    /// many have gathered behind one that is stuck: ascending, each once.
    public mutating func finish(_ id: StreamID, ifHeld: Bool = false, passed: (StreamID) -> Void) -> Bool {
        guard let index = index(of: id) else { return false }
        let phase = entries[index].phase
        guard phase == .held || (!ifHeld && phase == .givenUp) else { return false }
        entries[index].phase = .finished
        finishedCount += 1
        dropFinished(passed: passed)
        // Amortised: as many IDs have finished since the last time as there are entries to look at.
        if finishedCount > 512, finishedCount > entries.count / 2 {
            for entry in entries where entry.phase == .finished { passed(entry.id) }
            entries.removeAll { $0.phase == .finished }
            finishedCount = 0
        }
        return true
    }

    /// Takes the ID out without its being finished: it is void, and may be handed out again. False when it was not in
    /// flight. `passed` is called as by ``finish(_:ifHeld:passed:)``.
    public mutating func discard(_ id: StreamID, passed: (StreamID) -> Void) -> Bool {
        guard let index = index(of: id), entries[index].phase != .finished else { return false }
        entries.remove(at: index)
        dropFinished(passed: passed)
        return true
    }

    private mutating func dropFinished(passed: (StreamID) -> Void) {
        while !entries.isEmpty, entries[0].phase == .finished {
            let id = entries[0].id
            entries.removeFirst()
            finishedCount -= 1
            passed(id)
        }
    }

    /// The IDs at or below a position that was closed.
    public func idsInFlight(through position: StreamID) -> [StreamID] {
        entries.prefix { $0.id <= position }.filter { $0.phase != .finished }.map(\.id)
    }

    /// The earliest deadline of a scope that still holds its IDs.
    public var earliestDeadline: Duration? {
        entries.lazy.filter { $0.phase == .held }.map(\.deadline).min()
    }

    /// The IDs whose scopes have run over their limit, by scope.
    public func expired(at now: Duration) -> [Int: [StreamID]] {
        var scopes: [Int: [StreamID]] = [:]
        for entry in entries where entry.phase == .held && entry.deadline <= now {
            scopes[entry.scope, default: []].append(entry.id)
        }
        return scopes
    }

    private func index(of id: StreamID) -> Int? {
        if entries.isEmpty { return nil }
        if entries[0].id == id { return 0 }
        let place = lowerBound(id)
        return place < entries.count && entries[place].id == id ? place : nil
    }

    /// Where the ID is, or would go. IDs are dense, so that interpolation mostly finds the place at once; every other step
    /// halves what is left, so that the steps are logarithmic at most, however the IDs lie.
    private func lowerBound(_ id: StreamID) -> Int {
        var low = 0
        var high = entries.count
        var interpolates = true
        while low < high {
            var middle = low + (high - low) / 2
            if interpolates {
                let (first, last) = (entries[low].id, entries[high - 1].id)
                if id <= first { return low }
                if id > last { return high }
                let part = Self.distance(first, id) / Self.distance(first, last)
                middle = min(low + Int(part * Double(high - 1 - low)), high - 1)
            }
            let found = entries[middle].id
            if found == id { return middle }
            if found < id { low = middle + 1 } else { high = middle }
            interpolates.toggle()
        }
        return low
    }

    private static func distance(_ low: StreamID, _ high: StreamID) -> Double {
        Double(UInt64(bitPattern: high.rawValue &- low.rawValue))
    }
}

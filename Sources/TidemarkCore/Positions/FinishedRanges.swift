/// The IDs that are known to be finished, kept as ranges: what readers hear and read of other writers' rows.
///
/// A run without a gap is one range, however long, so the size is that of the gaps. It has a bound: when there are
/// more ranges, the highest is forgotten. Forgetting only ever delays: positions and the database say the same later.
public struct FinishedRanges: Hashable, Sendable {
    /// Disjoint, not adjacent, ascending.
    public private(set) var ranges: [ClosedRange<StreamID>] = []
    /// The greatest number of ranges that is kept.
    public let maximumCount: Int

    /// Traps unless `maximumCount` is above 0.
    public init(maximumCount: Int = 4096) {
        precondition(maximumCount > 0, "there must be room for a range")
        self.maximumCount = maximumCount
    }

    /// The highest ID known to be finished.
    public var highest: StreamID? { ranges.last?.upperBound }

    /// Whether the ID is known to be finished.
    public func contains(_ id: StreamID) -> Bool {
        let index = firstIndex(endingAtOrAfter: id)
        return index < ranges.count && ranges[index].contains(id)
    }

    /// The last ID of the run that begins right after `id`; `id` itself when the next one is not known to be finished.
    public func endOfRun(after id: StreamID) -> StreamID {
        // Runs are mostly asked for where they begin: at the lowest range.
        guard let first = ranges.first, id.rawValue < .max else { return id }
        let next = StreamID(id.rawValue + 1)
        if next < first.lowerBound { return id }
        if next <= first.upperBound { return first.upperBound }
        let index = firstIndex(endingAtOrAfter: next)
        return index < ranges.count && ranges[index].contains(next) ? ranges[index].upperBound : id
    }

    /// Takes O(log n) for the search, and moves what lies above the place where a new range goes.
    public mutating func insert(_ new: ClosedRange<StreamID>) {
        if let last = ranges.last, new.lowerBound > last.upperBound {
            if new.lowerBound.rawValue == last.upperBound.rawValue + 1 {
                ranges[ranges.count - 1] = last.lowerBound...new.upperBound
            } else if ranges.count < maximumCount {
                ranges.append(new)
            }
            return
        }
        // All ranges that overlap the new one or touch it become one with it.
        let start = firstIndex(endingAtOrAfter: StreamID(max(new.lowerBound.rawValue, .min + 1) - 1))
        var end = start
        var merged = new
        while end < ranges.count, ranges[end].lowerBound.rawValue - 1 <= new.upperBound.rawValue {
            merged =
                min(merged.lowerBound, ranges[end].lowerBound)...max(merged.upperBound, ranges[end].upperBound)
            end += 1
        }
        if end == start + 1 {
            ranges[start] = merged
        } else {
            ranges.replaceSubrange(start..<end, with: CollectionOfOne(merged))
            if ranges.count > maximumCount { ranges.removeLast() }
        }
    }

    /// Takes as long as to look at all ranges, however many the new ones are, which ascend and are disjoint.
    public mutating func insert(ascending runs: [ClosedRange<StreamID>]) {
        var merged: [ClosedRange<StreamID>] = []
        merged.reserveCapacity(min(maximumCount, ranges.count + runs.count))
        var old = ranges[...]
        var new = runs[...]
        while let next = Self.popLowest(&old, &new) {
            if let last = merged.last,
                next.lowerBound <= last.upperBound || next.lowerBound.rawValue == last.upperBound.rawValue + 1
            {
                merged[merged.count - 1] = last.lowerBound...max(last.upperBound, next.upperBound)
            } else if merged.count < maximumCount {
                merged.append(next)
            } else {
                break
            }
        }
        ranges = merged
    }

    private static func popLowest(
        _ one: inout ArraySlice<ClosedRange<StreamID>>, _ two: inout ArraySlice<ClosedRange<StreamID>>
    ) -> ClosedRange<StreamID>? {
        guard let first = one.first else { return two.popFirst() }
        guard let second = two.first, second.lowerBound < first.lowerBound else { return one.popFirst() }
        return two.popFirst()
    }

    /// Forgets the ranges that end below `id`.
    public mutating func removeRanges(endingBelow id: StreamID) {
        guard let first = ranges.first, first.upperBound < id else { return }
        ranges.removeFirst(firstIndex(endingAtOrAfter: id))
    }

    /// Forgets what is above `id`.
    public mutating func removeRanges(above id: StreamID) {
        guard let highest, highest > id else { return }
        let index = firstIndex(endingAtOrAfter: id)
        let first = ranges[index]
        ranges.removeSubrange(index...)
        if first.lowerBound <= id { ranges.append(first.lowerBound...id) }
    }

    private func firstIndex(endingAtOrAfter id: StreamID) -> Int {
        var low = 0
        var high = ranges.count
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].upperBound < id { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

/// IDs that come in ascending order, as ranges: one mostly, and many only where many have gathered behind an ID that is stuck.
struct AscendingRuns {
    private var ended: [ClosedRange<StreamID>] = []
    private var current: ClosedRange<StreamID>?

    mutating func append(_ id: StreamID) {
        guard let current else { return current = id...id }
        if current.upperBound.rawValue + 1 == id.rawValue {
            self.current = current.lowerBound...id
        } else {
            ended.append(current)
            self.current = id...id
        }
    }

    fileprivate consuming func all() -> [ClosedRange<StreamID>] {
        if let current { ended.append(current) }
        return ended
    }

    fileprivate var single: ClosedRange<StreamID>? { ended.isEmpty ? current : nil }
}

extension FinishedRanges {
    /// In time that grows with the runs and with the ranges that there are.
    mutating func insert(_ runs: consuming AscendingRuns) {
        if let single = runs.single { return insert(single) }
        let all = runs.all()
        if !all.isEmpty { insert(ascending: all) }
    }
}

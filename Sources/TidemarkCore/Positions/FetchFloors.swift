import DequeModule

/// Why a fetch could not begin, or its answer cannot be used.
public enum AllocationFailure: Error, Hashable, Sendable {
    /// The instance is no member, so that no position holds readers back for it.
    case notAMember
    /// The fetch ended before its answer came.
    case late
    /// The answer holds an ID at or below the floor.
    case wentBackwards(id: StreamID, floor: StreamID)
    /// Not as many IDs came as were asked for.
    case wrongCount(asked: Int, got: Int)
    /// An ID is not above the one before it.
    case notAscending(id: StreamID)
    /// The ID is in flight already, or has been, above one that still is.
    case handedOutTwice(id: StreamID)
}

/// The fetches in progress, each with its floor: the highest ID that was known when it asked the sequence.
///
/// What is known only grows, so floors ascend in the order in which fetches begin, and the lowest is at the front.
public struct FetchFloors: Sendable {
    private var floors: Deque<StreamID?> = []
    private var firstNumber = 0

    /// No fetch is in progress.
    public init() {}

    /// The lowest floor, nil when no fetch is in progress.
    public var lowest: StreamID? { floors.first ?? nil }

    /// Begins a fetch, and returns its number. Floors have to ascend: `known` is at least that of the fetch before.
    public mutating func begin(at known: StreamID) -> Int {
        floors.append(known)
        return firstNumber + floors.count - 1
    }

    /// Ends all of them: their answers come late.
    public mutating func endAll() {
        firstNumber += floors.count
        floors = []
    }

    /// Ends a fetch and returns its floor; nil when it has ended before.
    public mutating func end(_ number: Int) -> StreamID? {
        let index = number - firstNumber
        guard floors.indices.contains(index), let floor = floors[index] else { return nil }
        floors[index] = nil
        while let first = floors.first, first == nil {
            floors.removeFirst()
            firstNumber += 1
        }
        return floor
    }
}

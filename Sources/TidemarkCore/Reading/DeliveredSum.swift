/// What a consumer was given from the beginning of a stream, in two numbers that do not depend on batches: how many
/// events, and a sum over their IDs and the marks of their commits.
///
/// A sum over what is there later, up to the same ID, gives the same two numbers, unless an event has come, gone or
/// changed its commit in the meantime. That two different sets of events have the same sum by chance is as likely as
/// guessing a number of 64 bits.
public struct DeliveredSum: Hashable, Sendable {
    /// How many events.
    public private(set) var count: Int64
    /// The sum, modulo 2^64.
    public private(set) var sum: UInt64

    /// The sum of no events by default; a store reads back what it has kept.
    public init(count: Int64 = 0, sum: UInt64 = 0) {
        self.count = count
        self.sum = sum
    }

    /// Adds one event. The order of events does not matter.
    public mutating func add(_ id: StreamID, mark: CommitMark) {
        count += 1
        sum &+= Self.mixed(id, mark)
    }

    /// What was delivered after this.
    public mutating func add(_ next: DeliveredSum) {
        count += next.count
        sum &+= next.sum
    }

    /// Whether it would be the other one with one more event.
    public func isSum(_ other: DeliveredSum, without id: StreamID, mark: CommitMark) -> Bool {
        other.count == count + 1 && other.sum == sum &+ Self.mixed(id, mark)
    }

    /// One number of both, scattered over all 64 bits.
    private static func mixed(_ id: StreamID, _ mark: CommitMark) -> UInt64 {
        let bits = SplitMix64.mixed(UInt64(bitPattern: id.rawValue) &+ SplitMix64.step)
        return SplitMix64.mixed(bits ^ UInt64(bitPattern: mark.rawValue))
    }
}

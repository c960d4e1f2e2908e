/// What a consumer was given from the beginning of a stream, in two numbers that do not depend on batches: how many
/// events, and a sum over their IDs and commit numbers.
///
/// Whoever adds up what is there later, up to the same ID, gets the same two numbers, unless an event has come, gone or
/// changed its commit in the meantime. That two different sets of events have the same sum by chance is as likely as
/// guessing a number of 64 bits.
public struct DeliveredSum: Hashable, Sendable {
    public private(set) var count: Int64
    public private(set) var sum: UInt64

    public init(count: Int64 = 0, sum: UInt64 = 0) {
        self.count = count
        self.sum = sum
    }

    public mutating func add(_ id: StreamID, commitNumber: Int64) {
        count += 1
        sum &+= Self.mixed(id, commitNumber)
    }

    /// What was delivered after this.
    public mutating func add(_ next: DeliveredSum) {
        count += next.count
        sum &+= next.sum
    }

    /// Whether it would be the other one with one more event.
    public func isSum(_ other: DeliveredSum, without id: StreamID, commitNumber: Int64) -> Bool {
        other.count == count + 1 && other.sum == sum &+ Self.mixed(id, commitNumber)
    }

    /// The finalizer of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014), over
    /// both numbers.
    private static func mixed(_ id: StreamID, _ commitNumber: Int64) -> UInt64 {
        var bits = scrambled(UInt64(bitPattern: id.rawValue) &+ 0x9E37_79B9_7F4A_7C15)
        bits = scrambled(bits ^ UInt64(bitPattern: commitNumber))
        return bits
    }

    private static func scrambled(_ value: UInt64) -> UInt64 {
        var bits = value
        bits = (bits ^ (bits >> 30)) &* 0xBF58_476D_1CE4_E5B9
        bits = (bits ^ (bits >> 27)) &* 0x94D0_49BB_1331_11EB
        return bits ^ (bits >> 31)
    }
}

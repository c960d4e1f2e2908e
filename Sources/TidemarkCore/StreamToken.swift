/// A vector clock over the writers of one stream: everything at or below `minimum`, and of each writer in `ahead`
/// everything at or below its own position.
///
/// Tokens form a lattice: ``isAtOrBefore(_:)`` is its order and ``advanced(by:)`` its join.
public struct StreamToken: Hashable, Sendable {
    /// Every event at or below this ID is included, whoever wrote it.
    public private(set) var minimum: StreamID
    /// The position of each writer that is above the minimum; no others.
    public private(set) var ahead: [InstanceName: StreamID]

    /// Drops entries at or below the minimum, which say nothing that the minimum does not.
    public init(minimum: StreamID, ahead: [InstanceName: StreamID] = [:]) {
        self.minimum = minimum
        self.ahead = ahead.filter { $0.value > minimum }
    }

    /// The position of the instance in this token; the minimum for one that is not ahead of it.
    public func position(of instance: InstanceName) -> StreamID {
        ahead[instance] ?? minimum
    }

    /// Whether everything that this token includes is in `other` too.
    public func isAtOrBefore(_ other: StreamToken) -> Bool {
        minimum <= other.minimum && ahead.allSatisfy { $0.value <= other.position(of: $0.key) }
    }

    /// The least token at or after both.
    public func advanced(by other: StreamToken) -> StreamToken {
        StreamToken(
            minimum: max(minimum, other.minimum),
            ahead: ahead.merging(other.ahead) { max($0, $1) })
    }

    /// The token with every position cut off at `maximum`.
    public func bounded(by maximum: StreamID) -> StreamToken {
        StreamToken(minimum: min(minimum, maximum), ahead: ahead.mapValues { min($0, maximum) })
    }
}

/// The place of an event in its stream.
///
/// IDs come from one sequence shared by all writers of the stream, start at 1 and are handed out before the events
/// that get them are committed. Zero means "before the first event". Backfilling writers use negative IDs, which
/// count down from -1.
public struct StreamID: RawRepresentable, Hashable, Comparable, Codable, Sendable, ExpressibleByIntegerLiteral {
    public var rawValue: Int64

    public init(rawValue: Int64) {
        self.rawValue = rawValue
    }

    /// IDs of events begin at 1. 0 stands for the beginning, before every event.
    public init(_ rawValue: Int64) {
        self.rawValue = rawValue
    }

    public init(integerLiteral value: Int64) {
        rawValue = value
    }

    public static func < (left: StreamID, right: StreamID) -> Bool {
        left.rawValue < right.rawValue
    }
}

extension StreamID: CustomStringConvertible {
    public var description: String { String(rawValue) }
}

/// What a store writes on each row to tell whether its commit was in a given snapshot.
///
/// Only the store that wrote it can order marks. For everybody else two of them are equal or not: an event with another
/// mark than before was committed by another transaction, perhaps in another incarnation.
public struct CommitMark: Hashable, Sendable, CustomStringConvertible {
    /// The mark as the store keeps it in the row.
    public let rawValue: Int64

    /// For stores, which alone know what a mark means.
    public init(_ rawValue: Int64) { self.rawValue = rawValue }

    public var description: String { "\(rawValue)" }
}

/// What one snapshot had seen, as its store writes it down. It is kept with a checkpoint, so that the store can tell later
/// which rows came after it.
public struct SnapshotMark: Hashable, Sendable, CustomStringConvertible {
    /// The mark as the store keeps it with a checkpoint.
    public let bytes: [UInt8]

    /// For stores, which alone know what the bytes mean.
    public init(bytes: [UInt8]) { self.bytes = bytes }

    /// For stores whose commits have numbers: the newest of them in the snapshot.
    package init(newestCommit number: Int64) {
        self.init(bytes: (0..<8).map { UInt8(truncatingIfNeeded: number >> (56 - 8 * $0)) })
    }

    /// The number that the mark was made with; nil where it was made otherwise.
    package var newestCommit: Int64? {
        bytes.count == 8 ? bytes.reduce(0) { $0 << 8 | Int64($1) } : nil
    }

    /// Hexadecimal.
    public var description: String {
        bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }
}

/// One life of a database in which its sequence only grows. A crash that takes the sequence back, a promotion or a restored
/// backup begins another, and what was handed out before it may be handed out again.
public struct Incarnation: Hashable, Sendable, CustomStringConvertible {
    /// The number that the database keeps. Two of them are equal or not; their order says nothing.
    public let rawValue: Int64

    /// For stores, which draw or read the number.
    public init(_ rawValue: Int64) { self.rawValue = rawValue }

    public var description: String { "\(rawValue)" }
}

/// Where an incarnation begins in a stream: it has handed out the IDs above one ID, up to where the next one begins.
public struct Era: Hashable, Sendable {
    /// Its incarnation.
    public let incarnation: Incarnation
    /// The last ID that is not of it.
    public let after: StreamID

    /// For stores whose sequence can go back.
    public init(_ incarnation: Incarnation, after: StreamID) {
        self.incarnation = incarnation
        self.after = after
    }

    /// A database that lost commits, with a promotion or a restore, begins an incarnation below what was seen of the one before,
    /// and hands out IDs again. Where they had no event, nothing else tells.
    ///
    /// - Parameters:
    ///   - id: everything up to here was taken for finished, or known to be handed out.
    ///   - seen: the newest era then; nil where there was none, or the store has none.
    ///   - eras: the newest eras of a snapshot that was opened since, ascending.
    /// - Returns: what was lost, for people; nil where nothing was.
    package static func loss(through id: StreamID, seen: Era?, in eras: [Era]) -> String? {
        guard let seen else { return nil }
        guard let place = eras.firstIndex(where: { $0.incarnation == seen.incarnation }) else {
            return "the incarnation that was seen last is not there"
        }
        let next = eras.index(after: place)
        guard next < eras.endIndex, eras[next].after < id else { return nil }
        return "an incarnation has begun that hands out the IDs above \(eras[next].after) again"
    }
}

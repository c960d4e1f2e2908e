/// A background reader without its database: which snapshot it asks for, and what the answer allows it to deliver.
///
/// The order is what makes it safe (rule 7): the watermark is computed first, then a fresh snapshot is
/// opened for the events and the membership version together. A writer that joined in between has raised the version,
/// and what it commits below the watermark is not skipped, because nothing is delivered by a watermark of other
/// members.
///
/// A place may be older than the database that it is used with. So it is compared with a snapshot before anything is
/// waited for: it must not be above the sequence, and the last event that was passed must be what it was.
///
/// Invariant: the cursor only moves forward, and every event at or below it that the stream will ever have was
/// delivered, or lay at or below the ID where reading began.
public struct ReaderCursor: Sendable {
    /// Everything at or below it was passed: delivered, or left out by the filter.
    public private(set) var position: StreamID
    /// The last event that was passed, delivered or left out by the filter; nil until there is one.
    public private(set) var delivered: Delivered?
    /// The newest era of the snapshot that was looked at last; nil before, and where the store has none.
    private var era: Era?
    /// Whether a snapshot has shown that the stream has come as far as the cursor.
    private var isConfirmed: Bool

    /// What the reader does next.
    public enum Step: Hashable, Sendable {
        /// The watermark is not beyond the cursor: nothing may be read until it moves.
        case wait
        /// Ask the store for this, in a snapshot that is opened now.
        case read(SnapshotRequest)
    }

    /// What the cursor looks at in a snapshot.
    public struct View: Hashable, Sendable {
        /// The version of the members in the snapshot; where it is not the watermark's, nothing is delivered (rule 7).
        public var membershipVersion: Int
        /// The newest ID of the sequence in the snapshot.
        public var sequence: StreamID
        /// Whether the event that was passed last still is what it was.
        public var deliveredIsThere: Bool
        /// The last event that is passed with the snapshot's batch, in it or left out by the filter; nil when there is none.
        public var last: Delivered?
        /// Whether a limit cut the batch off.
        public var isTruncated: Bool
        /// The newest eras of the stream in the snapshot, ascending.
        public var eras: [Era]

        /// All of it comes from one snapshot.
        public init(
            membershipVersion: Int, sequence: StreamID, deliveredIsThere: Bool, last: Delivered?, isTruncated: Bool,
            eras: [Era] = []
        ) {
            self.eras = eras
            self.membershipVersion = membershipVersion
            self.sequence = sequence
            self.deliveredIsThere = deliveredIsThere
            self.last = last
            self.isTruncated = isTruncated
        }
    }

    /// What may be done with a batch.
    public enum Outcome: Hashable, Sendable {
        /// The batch may be delivered; the cursor has moved on. (The batch may be empty.)
        case deliver
        /// The members changed: load them, compute the watermark again, and ask again.
        case reloadMembers
        /// Something that was heard by the time of the watermark is above the snapshot's sequence, so that it was false,
        /// and the watermark with it: take it back, compute the watermark again, and ask again.
        case heardFalsely
        /// What was there is not there any more: the database was put back.
        case wentBackwards(at: StreamID, problem: String)
        /// The database begins anew below the cursor, or without what was seen: it has lost commits.
        case lost(at: StreamID, problem: String)
    }

    /// - Parameter passed: the last event at or below `position`, where that is known.
    public init(after position: StreamID, passed: Delivered? = nil) {
        self.position = position
        delivered = passed
        // Every stream has come as far as its beginning.
        isConfirmed = position <= 0 && passed == nil
    }

    /// - Parameters:
    ///   - watermark: read before the snapshot is opened.
    ///   - filter: what the batch may have in it.
    ///   - filtered: how many IDs one snapshot looks at where the filter is not ``EventFilter/all``, at least 1.
    public func nextStep(
        watermark: Watermark, limit: Int, byteLimit: Int, filter: EventFilter = .all, filtered: Int64 = .max
    ) -> Step {
        guard watermark.minimum > position || !isConfirmed else { return .wait }
        var request = SnapshotRequest(
            delivered: delivered, membershipVersion: watermark.membershipVersion, after: position,
            through: max(watermark.minimum, position), limit: limit, byteLimit: byteLimit, filter: filter)
        if filter != .all {
            let (furthest, isOver) = position.rawValue.addingReportingOverflow(max(filtered, 1))
            if !isOver { request.furthest = StreamID(furthest) }
            request.through = min(request.through, request.furthest)
        }
        return .read(request)
    }

    /// - Parameters:
    ///   - view: the snapshot that was opened for `request`.
    ///   - request: what ``nextStep(watermark:limit:byteLimit:filter:filtered:)`` asked for last.
    ///   - heard: the highest ID that was only heard by the time of the watermark.
    public mutating func received(_ view: View, for request: SnapshotRequest, heard: StreamID = 0) -> Outcome {
        if let delivered, !view.deliveredIsThere {
            return .wentBackwards(
                at: delivered.streamID,
                problem: "\(delivered.eventID.map { "event \"\($0)\"" } ?? "an event") was delivered there and is not "
                    + "there now")
        }
        if view.sequence < position {
            return .wentBackwards(at: position, problem: "the sequence is only at \(view.sequence)")
        }
        // IDs without an event were passed too, and only where the eras begin shows that they are handed out again.
        if let problem = Era.loss(through: position, seen: era, in: view.eras) {
            return .lost(at: position, problem: problem)
        }
        era = view.eras.last ?? era
        isConfirmed = true
        if view.membershipVersion < request.membershipVersion {
            return .wentBackwards(
                at: position,
                problem: "the membership version was \(request.membershipVersion) and is \(view.membershipVersion) now")
        }
        // Also where the watermark itself is not above it: what was heard of one writer may be false, and of another true.
        guard max(heard, request.through) <= view.sequence else { return .heardFalsely }
        guard view.membershipVersion == request.membershipVersion else { return .reloadMembers }
        if let last = view.last {
            precondition(last.streamID > position, "a snapshot held ID \(last.streamID), the cursor is at \(position)")
            delivered = last
        }
        let end = view.isTruncated ? view.last?.streamID : max(request.through, view.last?.streamID ?? 0)
        position = max(position, end ?? position)
        return .deliver
    }
}

/// What an audit says of a consumer's past.
///
/// A complete one proves, of the events that are in the stream at or below the checkpoint: none of them was committed
/// after the snapshot that the checkpoint was taken in, and by number and sum they are those that the consumer's batches
/// held from its start on. (It is judged by the filter that it has now, from where that was given to it.) So nothing was skipped, and nothing came, went or changed its place or its commit since.
///
/// It cannot prove what the consumer did with them, nor find that somebody changed what an event says but left its ID
/// and the mark of its commit. Where more than one event differs it says how many do, and names those that betray
/// themselves. What was removed above the checkpoint shows only where nothing of a commit is left. Events that were pruned are
/// judged by what was counted and summed up when they were: a commit that came too late is not named any more, and shows in the sum.
public struct Audit: Hashable, Sendable {
    /// Something that the library has never written, or that should have been delivered and was not.
    public struct Finding: Hashable, Sendable, CustomStringConvertible {
        /// What sort of thing it is; the raw value is what `tidemark audit` prints.
        public enum Kind: String, Hashable, Sendable {
            /// An event at or below the checkpoint that was committed after it: it was skipped.
            case skipped
            /// What is there at or below the checkpoint is not what was delivered.
            case deliveredDiffers = "delivered_differs"
            /// A row that no commit of the library can have written.
            case impossibleRow = "impossible_row"
            /// Commits whose rows are all gone.
            case vanishedCommit = "vanished_commit"
            /// The last event that the consumer has passed is not what it was: the database was put back.
            case passedDiffers = "passed_differs"
            /// The checkpoint is beyond what the stream has ever held: the database was put back.
            case checkpointAhead = "checkpoint_ahead"
        }

        /// What sort of thing it is.
        public let kind: Kind
        /// The ID of the row; nil when it is not about one.
        public let id: StreamID?
        /// The mark of the commit; nil when it is not about one.
        public let mark: CommitMark?
        /// For people.
        public let description: String

        /// For stores, which find it, and for tests.
        public init(kind: Kind, id: StreamID? = nil, mark: CommitMark? = nil, description: String) {
            self.kind = kind
            self.id = id
            self.mark = mark
            self.description = description
        }
    }

    /// The stream that was looked through.
    public let stream: StreamName
    /// The consumer whose past was judged.
    public let consumer: ConsumerName
    /// Where the consumer began, or was moved to: what came before is not its past.
    public let start: StreamID
    /// The consumer's checkpoint, and what the snapshot that it was taken in had seen.
    public let position: StreamID
    /// What the snapshot of the checkpoint had seen: a commit that came later and lies below the checkpoint was
    /// skipped.
    public let snapshot: SnapshotMark
    /// How many events are there now, after the start and up to the checkpoint, that the consumer's filter lets pass.
    public let events: Int64
    /// How many more of them were there, and were pruned since: they are compared by the count and the sum that were kept.
    public let pruned: Int64
    /// How many the consumer was given between the two; nil when it is not known, because a checkpoint was taken
    /// at a batch that the reader had not made.
    public let delivered: Int64?
    /// What is wrong, by ID where it has one; at most as many as were asked for.
    public let findings: [Finding]
    /// How many there are in all.
    public let findingCount: Int

    /// Whether nothing was found. Then the consumer's past was complete, within what is said above.
    public var isComplete: Bool { findingCount == 0 }

    /// For stores. `findingCount` is at least the number of the findings, which are cut off at a limit.
    public init(
        stream: StreamName, consumer: ConsumerName, position: StreamID, snapshot: SnapshotMark, events: Int64,
        delivered: Int64?, findings: [Finding], findingCount: Int, start: StreamID = 0, pruned: Int64 = 0
    ) {
        self.start = start
        self.pruned = pruned
        self.stream = stream
        self.consumer = consumer
        self.position = position
        self.snapshot = snapshot
        self.events = events
        self.delivered = delivered
        self.findings = findings
        self.findingCount = findingCount
    }
}

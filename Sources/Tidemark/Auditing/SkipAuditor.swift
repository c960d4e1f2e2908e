/// Looks at the rows of a stream, one after the other, for what a consumer cannot have read, and for what no commit of
/// the library can have written. Keeps nothing of them but what it found.
///
/// A store feeds it from one snapshot: first ``row(_:)`` for each row of the stream; then, where its commits are counted,
/// ``commit(_:)`` for each commit that rows have, in their order; then it asks for the ``audit``. The store says what came
/// after a checkpoint, and which marks are possible.
public struct SkipAuditor: Sendable {
    /// What the snapshot says of the stream and of the consumer.
    public struct Facts: Sendable {
        /// The stream, for what is said of it.
        public var stream: StreamName
        /// The consumer whose checkpoint is judged.
        public var consumer: ConsumerName
        /// The newest ID of the sequence. A checkpoint above it shows that the database was put back.
        public var sequence: StreamID
        /// How many commits the stream has had; 0 where they are not counted.
        public var commitCount: Int64
        /// The checkpoint, and what its snapshot had seen.
        public var position: StreamID
        /// What the snapshot of the checkpoint had seen, as it was kept with the checkpoint.
        public var snapshot: SnapshotMark
        /// Whether that is more than the database has ever held.
        public var isSnapshotAhead: Bool
        /// What the consumer was given up to the checkpoint; nil when that was not kept.
        public var delivered: DeliveredSum?
        /// The last event at or below the checkpoint, as it was then; nil when there was none, or it was not kept.
        public var passed: Delivered?
        /// Where the consumer began, or was moved to.
        public var start: StreamID
        /// What was pruned of the stream: no row of it follows.
        public var pruned: PrunedPrefix
        /// What of that the consumer was to be given between its start and its checkpoint.
        public var prunedOfConsumer: DeliveredSum

        /// All of it comes from the same snapshot as the rows and commits that follow.
        public init(
            stream: StreamName, consumer: ConsumerName, sequence: StreamID, commitCount: Int64 = 0,
            position: StreamID, snapshot: SnapshotMark, isSnapshotAhead: Bool, delivered: DeliveredSum?,
            passed: Delivered? = nil, start: StreamID = 0, pruned: PrunedPrefix = PrunedPrefix(),
            prunedOfConsumer: DeliveredSum = DeliveredSum()
        ) {
            self.start = start
            self.pruned = pruned
            self.prunedOfConsumer = prunedOfConsumer
            self.passed = passed
            self.stream = stream
            self.consumer = consumer
            self.sequence = sequence
            self.isSnapshotAhead = isSnapshotAhead
            self.commitCount = commitCount
            self.position = position
            self.snapshot = snapshot
            self.delivered = delivered
        }
    }

    /// A row of the stream: an event or a tombstone.
    public struct Row: Sendable {
        /// The stream ID that the row holds.
        public var id: StreamID
        /// False for a tombstone.
        public var isEvent: Bool
        /// The mark of the commit that wrote it.
        public var mark: CommitMark
        /// Whether its commit came after the snapshot of the checkpoint.
        public var isLater: Bool
        /// Whether the database can have given this mark.
        public var isMarkPossible: Bool
        /// Whether the writer that it names has ever joined the stream.
        public var isWriterKnown: Bool
        /// Whether the consumer's filter lets it pass.
        public var isWanted: Bool

        /// A mark is taken as possible unless the store can tell that it is not.
        public init(
            id: StreamID, isEvent: Bool, mark: CommitMark, isLater: Bool, isMarkPossible: Bool = true,
            isWriterKnown: Bool, isWanted: Bool = true
        ) {
            self.isWanted = isWanted
            self.isLater = isLater
            self.isMarkPossible = isMarkPossible
            self.id = id
            self.isEvent = isEvent
            self.mark = mark
            self.isWriterKnown = isWriterKnown
        }
    }

    /// The rows of one commit.
    public struct Commit: Sendable {
        /// The mark that all of its rows have.
        public var mark: CommitMark
        /// The first commit of the stream is 1, and none is left out.
        public var place: Int64
        /// Whether they name more than one writer, which one transaction never does.
        public var hasSeveralWriters: Bool

        /// `place` counts from 1. A place that is missing is a commit whose rows are all gone.
        public init(mark: CommitMark, place: Int64, hasSeveralWriters: Bool) {
            self.mark = mark
            self.place = place
            self.hasSeveralWriters = hasSeveralWriters
        }
    }

    /// What is looked for.
    enum Subject: Sendable {
        case everything
        /// Rows and commits that are impossible, whichever consumer reads them.
        case rowsAlone
        /// What a consumer was given.
        case consumerAlone
    }

    private let facts: Facts
    private let limit: Int
    private let subject: Subject
    private var found = DeliveredSum()
    private var findings: [Audit.Finding] = []
    private var findingCount = 0
    private var lastPlace: Int64 = 0
    private var isPassedThere = false

    /// - Parameter limit: how many findings are kept; beyond that they are counted.
    public init(_ facts: Facts, limit: Int) { self.init(facts, limit: limit, judges: .everything) }

    init(_ facts: Facts, limit: Int, judges subject: Subject) {
        self.subject = subject
        self.facts = facts
        self.limit = limit
        found = facts.prunedOfConsumer
        // What cannot be looked up any more is taken for what it was.
        if let passed = facts.passed, passed.streamID <= facts.pruned.through {
            isPassedThere = facts.pruned.mayHaveHeld(passed)
        }
        if subject != .rowsAlone, facts.position > facts.sequence || facts.isSnapshotAhead {
            add(
                .checkpointAhead,
                "the checkpoint is at \(facts.position), but the stream only at \(facts.sequence)"
                    + "\(facts.isSnapshotAhead ? ", and it has never had the commits that were seen then" : ""): the "
                    + "database was put back")
        }
    }

    /// The place of the newest commit of which rows were pruned: nothing says of those up to it whether they vanished.
    ///
    /// - Parameter place: as in ``Commit``.
    public mutating func prunedCommits(through place: Int64) { lastPlace = max(lastPlace, place) }

    /// Takes the next row, in any order. Each row of the stream that was not pruned comes once, those above the checkpoint too.
    public mutating func row(_ row: Row) {
        if subject != .consumerAlone, let problem = impossibility(of: row) {
            add(.impossibleRow, "row \(row.id) was not written by Tidemark: \(problem)", row.id, row.mark)
        }
        guard subject != .rowsAlone, row.isEvent, row.id <= facts.position else { return }
        passedEvent(row.id, mark: row.mark)
        guard row.id > facts.start, row.isWanted else { return }
        found.add(row.id, mark: row.mark)
        // A tombstone may come later: it says that nothing was there, and nothing was.
        guard row.isLater else { return }
        add(
            .skipped,
            "event \(row.id) was skipped: its commit, \(row.mark), came after the snapshot of the checkpoint at "
                + "\(facts.position)", row.id, row.mark)
    }

    /// An event that is there, perhaps the one that was passed last.
    mutating func passedEvent(_ id: StreamID, mark: CommitMark) {
        if id == facts.passed?.streamID, mark == facts.passed?.mark { isPassedThere = true }
    }

    /// Takes the next commit, in ascending order of places. A place that cannot be is passed over.
    public mutating func commit(_ commit: Commit) {
        guard (1...max(1, facts.commitCount)).contains(commit.place) else { return }
        if commit.hasSeveralWriters {
            add(
                .impossibleRow,
                "commit \(commit.mark) has rows of several writers: not all of them were written by Tidemark", nil,
                commit.mark)
        }
        vanished(before: commit.place)
        lastPlace = max(lastPlace, commit.place)
    }

    /// What was found. The snapshot's rows and commits have all been looked at.
    public var audit: Audit {
        var whole = self
        if subject != .consumerAlone { whole.vanished(before: facts.commitCount + 1) }
        if subject != .rowsAlone {
            whole.compareDelivered()
            whole.comparePassed()
        }
        return Audit(
            stream: facts.stream, consumer: facts.consumer, position: facts.position,
            snapshot: facts.snapshot, events: found.count - facts.prunedOfConsumer.count,
            delivered: facts.delivered?.count, findings: whole.findings, findingCount: whole.findingCount,
            start: facts.start, pruned: facts.prunedOfConsumer.count)
    }

    /// What is there and what was delivered, up to the checkpoint.
    public var isAsDelivered: Bool { facts.delivered.map { $0 == found } ?? true }

    /// Where exactly one event is there that was not delivered, this finds it; to be asked of each row once more.
    public func isUndelivered(_ row: Row) -> Bool {
        guard row.isEvent, row.isWanted, row.id > facts.start, row.id <= facts.position,
            let delivered = facts.delivered
        else { return false }
        return delivered.isSum(found, without: row.id, mark: row.mark)
    }

    /// The row that ``isUndelivered(_:)`` was true for.
    public mutating func undelivered(_ row: Row) {
        // One that was named already needs no second finding.
        guard !row.isLater else { return }
        add(
            .skipped,
            "event \(row.id) was skipped: it is there, with commit \(row.mark), and was not delivered",
            row.id, row.mark)
    }

    private func impossibility(of row: Row) -> String? {
        if row.id < 1 { return "IDs begin at 1" }
        if row.id > facts.sequence { return "the sequence has handed out no ID above \(facts.sequence)" }
        if !row.isMarkPossible { return "it names commit \(row.mark), which there has not been" }
        return row.isWriterKnown ? nil : "its writer has never joined the stream"
    }

    private mutating func vanished(before place: Int64) {
        let first = lastPlace + 1
        guard first < place else { return }
        let commits =
            first == place - 1 ? "the commit at place \(first)" : "the commits at the places \(first) to \(place - 1)"
        add(.vanishedCommit, "the rows of \(commits) are gone")
    }

    private mutating func compareDelivered() {
        guard let delivered = facts.delivered, delivered != found else { return }
        add(
            .deliveredDiffers,
            "\(found.count) events are there up to the checkpoint at \(facts.position)"
                + (facts.prunedOfConsumer.count > 0 ? ", or were pruned, and " : ", and ")
                + (delivered.count == found.count ? "others" : "\(delivered.count)") + " were delivered")
    }

    private mutating func comparePassed() {
        guard let passed = facts.passed, !isPassedThere else { return }
        add(
            .passedDiffers,
            "event \(passed.streamID), the last one up to the checkpoint at \(facts.position), is not what the consumer "
                + "has passed there with commit \(passed.mark): the database was put back", passed.streamID,
            passed.mark)
    }

    private mutating func add(
        _ kind: Audit.Finding.Kind, _ description: String, _ id: StreamID? = nil, _ mark: CommitMark? = nil
    ) {
        findingCount += 1
        guard findings.count < limit else { return }
        findings.append(Audit.Finding(kind: kind, id: id, mark: mark, description: description))
    }
}

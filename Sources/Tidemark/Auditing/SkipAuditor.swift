/// Looks at the rows of a stream, one after the other, for what a consumer cannot have read, and for what no commit of
/// the library can have written. Keeps nothing of them but what it found.
///
/// A store feeds it from one snapshot: first ``row(_:)`` for each row of the stream, then ``commit(_:)`` for each commit
/// number that rows have, ascending; then it asks for the ``audit``.
public struct SkipAuditor: Sendable {
    /// What the snapshot says of the stream and of the consumer.
    public struct Facts: Sendable {
        public var stream: StreamName
        public var consumer: ConsumerName
        public var sequence: StreamID
        /// Of the stream: the newest commit there is, and how many there have been.
        public var newestCommit: Int64
        public var commitCount: Int64
        /// The checkpoint, and the newest commit in its snapshot.
        public var position: StreamID
        public var checkpointCommit: Int64
        /// What the consumer was given up to the checkpoint; nil when that was not kept.
        public var delivered: DeliveredSum?
        /// The last event at or below the checkpoint, as it was then; nil when there was none, or it was not kept.
        public var passed: Delivered?

        public init(
            stream: StreamName, consumer: ConsumerName, sequence: StreamID, newestCommit: Int64, commitCount: Int64,
            position: StreamID, checkpointCommit: Int64, delivered: DeliveredSum?, passed: Delivered? = nil
        ) {
            self.passed = passed
            self.stream = stream
            self.consumer = consumer
            self.sequence = sequence
            self.newestCommit = newestCommit
            self.commitCount = commitCount
            self.position = position
            self.checkpointCommit = checkpointCommit
            self.delivered = delivered
        }
    }

    public struct Row: Sendable {
        public var id: StreamID
        /// False for a tombstone.
        public var isEvent: Bool
        public var commitNumber: Int64
        /// Whether the writer that it names has ever joined the stream.
        public var isWriterKnown: Bool

        public init(id: StreamID, isEvent: Bool, commitNumber: Int64, isWriterKnown: Bool) {
            self.id = id
            self.isEvent = isEvent
            self.commitNumber = commitNumber
            self.isWriterKnown = isWriterKnown
        }
    }

    /// The rows that have one commit number.
    public struct Commit: Sendable {
        public var number: Int64
        /// The first commit of the stream is 1, and none is left out.
        public var place: Int64
        /// Whether they name more than one writer, which one transaction never does.
        public var hasSeveralWriters: Bool

        public init(number: Int64, place: Int64, hasSeveralWriters: Bool) {
            self.number = number
            self.place = place
            self.hasSeveralWriters = hasSeveralWriters
        }
    }

    private let facts: Facts
    private let limit: Int
    private var found = DeliveredSum()
    private var findings: [Audit.Finding] = []
    private var findingCount = 0
    private var lastPlace: Int64 = 0
    private var isPassedThere = false

    /// - Parameter limit: how many findings are kept; beyond that they are counted.
    public init(_ facts: Facts, limit: Int) {
        self.facts = facts
        self.limit = limit
        if facts.position > facts.sequence || facts.checkpointCommit > facts.newestCommit {
            add(
                .checkpointAhead,
                "the checkpoint is at \(facts.position), commit \(facts.checkpointCommit), but the stream only at "
                    + "\(facts.sequence), commit \(facts.newestCommit): the database was put back")
        }
    }

    public mutating func row(_ row: Row) {
        if let problem = impossibility(of: row) {
            add(.impossibleRow, "row \(row.id) was not written by Tidemark: \(problem)", row.id, row.commitNumber)
        }
        guard row.isEvent, row.id <= facts.position else { return }
        found.add(row.id, commitNumber: row.commitNumber)
        if row.id == facts.passed?.streamID, row.commitNumber == facts.passed?.commitNumber { isPassedThere = true }
        // A tombstone may come later: it says that nothing was there, and nothing was.
        guard row.commitNumber > facts.checkpointCommit else { return }
        add(
            .skipped,
            "event \(row.id) was skipped: commit \(row.commitNumber) came after the checkpoint at \(facts.position), "
                + "whose snapshot held commits up to \(facts.checkpointCommit)", row.id, row.commitNumber)
    }

    public mutating func commit(_ commit: Commit) {
        guard commit.place >= 1, commit.number <= facts.newestCommit else { return }
        if commit.hasSeveralWriters {
            add(
                .impossibleRow,
                "commit \(commit.number) has rows of several writers: not all of them were written by Tidemark", nil,
                commit.number)
        }
        vanished(before: commit.place)
        lastPlace = commit.place
    }

    /// What was found. The snapshot's rows and commits have all been looked at.
    public var audit: Audit {
        var whole = self
        whole.vanished(before: facts.commitCount + 1)
        whole.compareDelivered()
        whole.comparePassed()
        return Audit(
            stream: facts.stream, consumer: facts.consumer, position: facts.position,
            commitNumber: facts.checkpointCommit, events: found.count, delivered: facts.delivered?.count,
            findings: whole.findings, findingCount: whole.findingCount)
    }

    /// What is there and what was delivered, up to the checkpoint.
    public var isAsDelivered: Bool { facts.delivered.map { $0 == found } ?? true }

    /// Where exactly one event is there that was not delivered, this finds it; to be asked of each row once more.
    public func isUndelivered(_ row: Row) -> Bool {
        guard row.isEvent, row.id <= facts.position, let delivered = facts.delivered else { return false }
        return delivered.isSum(found, without: row.id, commitNumber: row.commitNumber)
    }

    /// The row that ``isUndelivered(_:)`` was true for.
    public mutating func undelivered(_ row: Row) {
        // One that was named already needs no second finding.
        guard row.commitNumber <= facts.checkpointCommit else { return }
        add(
            .skipped,
            "event \(row.id) was skipped: it is there, with commit \(row.commitNumber), and was not delivered",
            row.id, row.commitNumber)
    }

    private func impossibility(of row: Row) -> String? {
        if row.id < 1 { return "IDs begin at 1" }
        if row.id > facts.sequence { return "the sequence has handed out no ID above \(facts.sequence)" }
        if row.commitNumber < 1 || row.commitNumber > facts.newestCommit {
            return "there are commits 1 to \(facts.newestCommit), and it names \(row.commitNumber)"
        }
        return row.isWriterKnown ? nil : "its writer has never joined the stream"
    }

    private mutating func vanished(before place: Int64) {
        let first = lastPlace + 1
        guard first < place else { return }
        let commits =
            first == place - 1 ? "the commit at place \(first)" : "the commits at the places \(first) to \(place - 1)"
        add(.vanishedCommit, "the rows of \(commits) are gone", nil, first)
    }

    private mutating func compareDelivered() {
        guard let delivered = facts.delivered, delivered != found else { return }
        add(
            .deliveredDiffers,
            "\(found.count) events are there up to the checkpoint at \(facts.position), and "
                + (delivered.count == found.count ? "others" : "\(delivered.count)") + " were delivered")
    }

    private mutating func comparePassed() {
        guard let passed = facts.passed, !isPassedThere else { return }
        add(
            .passedDiffers,
            "event \(passed.streamID), the last one up to the checkpoint at \(facts.position), is not what the consumer "
                + "has passed there with commit \(passed.commitNumber): the database was put back", passed.streamID,
            passed.commitNumber)
    }

    private mutating func add(
        _ kind: Audit.Finding.Kind, _ description: String, _ id: StreamID? = nil, _ commitNumber: Int64? = nil
    ) {
        findingCount += 1
        guard findings.count < limit else { return }
        findings.append(Audit.Finding(kind: kind, id: id, commitNumber: commitNumber, description: description))
    }
}

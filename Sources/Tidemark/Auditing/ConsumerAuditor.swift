package import TidemarkCore

/// For stores: judges a consumer as a whole, or, where it is a processor, each of its partitions by its own checkpoint.
///
/// A store feeds it as a ``SkipAuditor``. Rows that no commit can have written, and commits that vanished, are looked for once.
package struct ConsumerAuditor: Sendable {
    private var whole: SkipAuditor
    private var parts: [Part]
    private let facts: SkipAuditor.Facts
    private let limit: Int
    /// Partitions that have passed the event of this ID last, which may be one of another partition.
    private var passedBy: [StreamID: [Int]] = [:]

    private struct Part {
        let snapshot: SnapshotMark
        var auditor: SkipAuditor
    }

    /// - Parameters:
    ///   - facts: of the consumer.
    ///   - partitions: of its partitions in the order of their numbers; none where it is no processor.
    package init(_ facts: SkipAuditor.Facts, partitions: [SkipAuditor.Facts], limit: Int) {
        self.facts = facts
        self.limit = limit
        whole = SkipAuditor(facts, limit: limit, judges: partitions.isEmpty ? .everything : .rowsAlone)
        parts = partitions.map {
            Part(snapshot: $0.snapshot, auditor: SkipAuditor($0, limit: limit, judges: .consumerAlone))
        }
        for (number, partition) in partitions.enumerated() {
            if let passed = partition.passed { passedBy[passed.streamID, default: []].append(number) }
        }
    }

    /// As ``SkipAuditor/prunedCommits(through:)``.
    package mutating func prunedCommits(through place: Int64) { whole.prunedCommits(through: place) }

    /// Takes the next row.
    ///
    /// - Parameters:
    ///   - row: with what the consumer's own snapshot says.
    ///   - isLater: whether its commit came after the snapshot of a partition's checkpoint.
    package mutating func row(_ row: SkipAuditor.Row, key: String?, isLater: (SnapshotMark) -> Bool) {
        whole.row(row)
        guard !parts.isEmpty, row.isEvent else { return }
        for number in passedBy[row.id] ?? [] { parts[number].auditor.passedEvent(row.id, mark: row.mark) }
        let number = PartitionHash.partition(ofKey: key, id: row.id, of: parts.count)
        var row = row
        row.isLater = isLater(parts[number].snapshot)
        parts[number].auditor.row(row)
    }

    /// As ``SkipAuditor/commit(_:)``.
    package mutating func commit(_ commit: SkipAuditor.Commit) { whole.commit(commit) }

    /// As ``SkipAuditor/isAsDelivered``.
    package var isAsDelivered: Bool {
        parts.isEmpty ? whole.isAsDelivered : parts.allSatisfy(\.auditor.isAsDelivered)
    }

    /// To be told of each row once more where something differs.
    package mutating func rowAgain(_ row: SkipAuditor.Row, key: String?, isLater: (SnapshotMark) -> Bool) {
        guard !parts.isEmpty else {
            if whole.isUndelivered(row) { whole.undelivered(row) }
            return
        }
        guard row.isEvent else { return }
        let number = PartitionHash.partition(ofKey: key, id: row.id, of: parts.count)
        guard parts[number].auditor.isUndelivered(row) else { return }
        var row = row
        row.isLater = isLater(parts[number].snapshot)
        parts[number].auditor.undelivered(row)
    }

    /// What was found.
    package var audit: Audit {
        let whole = whole.audit
        if parts.isEmpty { return whole }
        let audits = parts.map(\.auditor.audit)
        var findings = whole.findings
        for (number, audit) in audits.enumerated() {
            findings += audit.findings.map {
                Audit.Finding(
                    kind: $0.kind, id: $0.id, mark: $0.mark, description: "partition \(number): \($0.description)")
            }
        }
        return Audit(
            stream: facts.stream, consumer: facts.consumer, position: facts.position, snapshot: facts.snapshot,
            events: audits.reduce(0) { $0 + $1.events },
            delivered: audits.allSatisfy { $0.delivered != nil }
                ? audits.reduce(0) { $0 + ($1.delivered ?? 0) } : nil,
            findings: Array(findings.prefix(limit)),
            findingCount: audits.reduce(whole.findingCount) { $0 + $1.findingCount }, start: facts.start,
            pruned: audits.reduce(0) { $0 + $1.pruned })
    }
}

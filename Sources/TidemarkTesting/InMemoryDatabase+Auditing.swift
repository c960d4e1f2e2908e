import Tidemark

extension InMemoryDatabase {
    /// As `audit(_:consumer:limit:)` of an `EventStore`, with the errors of that.
    public func audit(_ name: StreamName, consumer: ConsumerName, limit: Int) throws(TidemarkError) -> Audit {
        guard let stream = streams[name] else { throw .unknownStream(stream: name, store: "memory") }
        guard let row = stream.consumers[consumer] else {
            throw .unknownConsumer(stream: name, consumer: consumer, known: stream.consumers.keys.sorted())
        }
        let facts = SkipAuditor.Facts(
            stream: name, consumer: consumer, sequence: stream.sequence,
            commitCount: RandomSteps.place(ofCommit: stream.commitNumber), position: row.position,
            snapshot: row.snapshot, isSnapshotAhead: row.snapshot.commitInMemory > stream.commitNumber,
            delivered: row.delivered, passed: row.passed, start: row.start, pruned: stream.pruned,
            prunedOfConsumer: row.pruned)
        let partitions = (stream.processors[consumer]?.partitions ?? []).map { found in
            var partition = facts
            partition.position = found.position
            partition.snapshot = found.snapshot
            partition.isSnapshotAhead = found.snapshot.commitInMemory > stream.commitNumber
            partition.delivered = found.delivered
            partition.passed = found.passed
            partition.start = found.start
            partition.prunedOfConsumer = found.pruned
            return partition
        }
        var auditor = ConsumerAuditor(facts, partitions: partitions, limit: limit)
        auditor.prunedCommits(through: RandomSteps.place(ofCommit: stream.pruned.newestCommit.rawValue))
        let filter = row.filter
        let seen = row.snapshot.commitInMemory
        let rows = stream.rows.sorted { $0.key < $1.key }.map { id, row in
            switch row {
            case .tombstone(let mark):
                SkipAuditor.Row(
                    id: id, isEvent: false, mark: mark, isLater: mark.rawValue > seen,
                    isMarkPossible: (1...stream.commitNumber).contains(mark.rawValue), isWriterKnown: true)
            case .event(let event):
                SkipAuditor.Row(
                    id: id, isEvent: true, mark: event.mark, isLater: event.mark.rawValue > seen,
                    isMarkPossible: (1...stream.commitNumber).contains(event.mark.rawValue),
                    isWriterKnown: stream.writers[event.instance] != nil
                        || stream.formerNames.contains(event.instance),
                    isWanted: filter.passes(type: event.event.type, key: event.event.key))
            }
        }
        func key(of id: StreamID) -> String? {
            if case .event(let event) = stream.rows[id] { event.event.key } else { nil }
        }
        for row in rows { auditor.row(row, key: key(of: row.id)) { row.mark.rawValue > $0.commitInMemory } }
        if !auditor.isAsDelivered {
            for row in rows { auditor.rowAgain(row, key: key(of: row.id)) { row.mark.rawValue > $0.commitInMemory } }
        }
        for number in Set(rows.map(\.mark.rawValue)).sorted() {
            auditor.commit(
                SkipAuditor.Commit(
                    mark: CommitMark(number), place: RandomSteps.place(ofCommit: number), hasSeveralWriters: false))
        }
        return auditor.audit
    }
}

import Tidemark

/// What a reader, through all its processes, was given: in order, nothing twice but what came after the checkpoint of a
/// process that ended, and then the same again.
struct DeliveryCheck {
    private(set) var delivered: [DeliveredEvent] = []
    private(set) var batches: [(through: StreamID, commitNumber: Int64)] = []
    /// Events that came again after a crash.
    private(set) var repeated = 0
    /// Processes after the first.
    private(set) var restarts = -1
    /// What the present process has to be given before anything new.
    private var again: ArraySlice<DeliveredEvent> = []
    private var checkpoint: StreamID = 0
    private var newestBatch: StreamID = 0
    private var position: StreamID = 0
    /// Whether the numbers of commits ascend, as SQLite's do.
    private let ordersCommits: Bool

    init(ordersCommits: Bool = true) { self.ordersCommits = ordersCommits }

    mutating func take(_ delivery: Delivery) throws {
        switch delivery {
        case .began(let after):
            // The checkpoint may be durable although its process did not come to say so.
            guard after == checkpoint || after == newestBatch else {
                throw Failure("a reader began after \(after), its checkpoint was \(checkpoint) or \(newestBatch)")
            }
            let kept = delivered.partitioningIndex { $0.streamID > after }
            again = delivered[kept...] + again
            delivered.removeSubrange(kept...)
            (checkpoint, newestBatch, position) = (after, after, after)
            restarts += 1
        case .event(let event):
            guard event.streamID > position else {
                throw Failure("event \(event.streamID) came after \(position): out of order, or twice")
            }
            if let expected = again.popFirst() {
                guard expected == event else {
                    throw Failure("after a crash \(event) came in the place of \(expected)")
                }
                repeated += 1
            }
            position = event.streamID
            delivered.append(event)
        case .batchEnded(let through, let commitNumber):
            guard through >= position else { throw Failure("a batch through \(through) held event \(position)") }
            (position, newestBatch) = (through, through)
            batches.append((through, commitNumber))
        case .checkpoint(let through):
            guard through == newestBatch else { throw Failure("a checkpoint at \(through) after \(newestBatch)") }
            checkpoint = through
        }
    }

    /// - Parameter all: the events of the database, in order.
    func finish(all: [DeliveredEvent]) throws {
        if let (given, there) = zip(delivered, all).first(where: { $0 != $1 }) {
            throw Failure("\(there) is in the database; the reader was given \(given) in its place")
        }
        guard delivered.count == all.count else {
            throw Failure("the reader was given \(delivered.count) of \(all.count) events")
        }
        if ordersCommits { try auditBatches(all: all) }
    }

    /// Nothing at or below the end of a batch was committed after the snapshot of that batch.
    private func auditBatches(all: [DeliveredEvent]) throws {
        var newestCommit: Int64 = 0
        var rest = all[...]
        // A batch that came again is checked with what it said the first time, too.
        for batch in batches.sorted(by: { $0.through < $1.through }) {
            while let event = rest.first, event.streamID <= batch.through {
                newestCommit = max(newestCommit, event.commitNumber)
                rest.removeFirst()
            }
            guard newestCommit <= batch.commitNumber else {
                throw Failure(
                    "after commit \(batch.commitNumber) a reader was through \(batch.through), and later one came below"
                )
            }
        }
    }
}

extension Array {
    /// The first index whose element, and each after it, belongs to the second part.
    fileprivate func partitioningIndex(_ belongsToSecond: (Element) -> Bool) -> Int {
        firstIndex(where: belongsToSecond) ?? endIndex
    }
}

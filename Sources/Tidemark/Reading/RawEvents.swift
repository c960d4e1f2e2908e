/// A background reader that looks at events where they lie, batch by batch: for programs that read much and keep little.
///
/// The same order and the same promises as ``EventBatches``. Nothing is read before it is asked for, and nothing is held
/// between batches, so that memory does not grow with what there is to read.
public struct RawEvents: Sendable {
    private var progress: ReadingProgress

    init(reader: EventReader, claim: ConsumerClaim?, after position: StreamID) {
        progress = ReadingProgress(reader: reader, claim: claim, after: position)
    }

    /// Waits until there are events, and shows those of the next batch to `visit`, one after the other.
    ///
    /// `visit` runs inside the snapshot, on a thread of the store: it must not block for long. Where it throws, or the
    /// store does, the batch was not delivered, and the next call begins with the same event again.
    ///
    /// - Parameters:
    ///   - result: what `visit` begins with, in each batch.
    /// - Throws: what `visit` throws; otherwise as ``EventReader/events(after:)``.
    public mutating func next<Result: Sendable>(
        into result: Result, _ visit: @Sendable (inout Result, RawEvent) throws -> Void
    ) async throws -> RawBatch<Result> {
        while true {
            let request = try await progress.nextRequest(factor: progress.reader.configuration.rawBatchFactor)
            let progress = progress
            let reader = progress.reader
            let raw = try await reader.store.rawSnapshot(
                of: reader.stream, request, into: result, accepting: { progress.mayDeliver($0, for: request) }, visit)
            guard let raw else { throw progress.streamIsGone }
            guard try self.progress.received(raw.snapshot, last: raw.last, for: request),
                raw.count > 0 || self.progress.hasPassedUnseen
            else { continue }
            var delivered = self.progress.start.delivered
            delivered?.add(raw.delivered)
            self.progress.gave(delivered)
            return RawBatch(
                passed: self.progress.cursor.delivered, delivered: delivered, result: raw.result,
                count: raw.count,
                through: self.progress.cursor.position,
                snapshot: raw.snapshot.mark)
        }
    }
}

/// What became of the events of one snapshot.
public struct RawBatch<Result: Sendable>: Sendable {
    /// The last event at or below its end, in it or left out by a filter.
    let passed: Delivered?
    /// Everything from the beginning of the stream; nil where that is not known.
    let delivered: DeliveredSum?
    /// What was made of the events, in their order.
    public let result: Result
    /// How many events there were: at least one, but for a consumer with a filter that has left out all that there is.
    public let count: Int
    /// Everything up to this ID was delivered with this batch: the place to go on from.
    public let through: StreamID
    /// What the batch's snapshot had seen; a checkpoint at its end keeps it.
    public let snapshot: SnapshotMark
}

extension EventReader {
    /// The events after `position`, in order, without a copy of them; see ``RawEvents``.
    public func rawEvents(after position: StreamID = 0) -> RawEvents {
        RawEvents(reader: self, claim: nil, after: position)
    }
}

extension DurableConsumer {
    /// The events after the checkpoint that the consumer had when it began, without a copy of them.
    public var rawEvents: RawEvents { RawEvents(reader: reader, claim: claim, after: claim.position) }

    /// Moves the checkpoint to the end of a batch, durably; never back.
    ///
    /// - Throws: as ``checkpoint(_:)-(EventBatch)``.
    public func checkpoint<Result: Sendable>(_ batch: RawBatch<Result>) async throws {
        try await reader.store.checkpoint(
            claim, at: batch.through, snapshot: batch.snapshot, delivered: batch.delivered, passed: batch.passed
        )
        announceCheckpoint(at: batch.through, milliseconds: nil)
    }
}

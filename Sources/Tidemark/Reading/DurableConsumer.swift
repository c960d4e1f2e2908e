/// A background reader that keeps its place in the database under a name.
///
/// At least once: after a crash it goes on from its last checkpoint, and sees again what came after it. Exactly once, where
/// what is made of the events is in the same database, and the checkpoint moves in the same transaction: `TidemarkSQLite` and
/// `TidemarkPostgreSQL` have the calls.
public final class DurableConsumer: Sendable {
    /// The right to move the checkpoint, with the place from which this consumer went on.
    public let claim: ConsumerClaim
    let reader: EventReader
    private let metrics: ConsumerMetrics

    /// For stores: where the checkpoint is.
    package var store: any EventStore { reader.store }

    init(claim: ConsumerClaim, reader: EventReader) {
        self.claim = claim
        self.reader = reader
        metrics = ConsumerMetrics(stream: claim.stream, consumer: claim.name)
    }

    /// The events after the checkpoint that the consumer had when it began. Throws
    /// ``TidemarkError/consumerTaken(stream:consumer:)`` when another reader has taken the name over.
    public var events: EventBatches {
        EventBatches(reader: reader, after: claim.position, claim: claim, metrics: metrics)
    }

    /// Moves the checkpoint to the end of a batch, durably; never back. To be called when the batch was dealt with.
    ///
    /// - Throws: ``TidemarkError/consumerTaken(stream:consumer:)`` when another reader has taken the name over, or the
    ///   consumer was moved by hand; ``TidemarkError/databaseWentBackwards(stream:id:problem:)`` where the batch did not
    ///   come from what the database is now.
    public func checkpoint(_ batch: EventBatch) async throws {
        try await reader.store.checkpoint(
            claim, at: batch.through, snapshot: batch.snapshot, delivered: batch.delivered, passed: batch.passed
        )
        announceCheckpoint(batch)
    }

    /// Tells those who wait in ``EventLog/wait(for:toPass:timeout:)``, in all processes, that the checkpoint has moved to the end
    /// of a batch. To be called after a transaction of one's own has committed whose checkpoint the library cannot have seen;
    /// without it they find out a little later.
    public func announceCheckpoint(_ batch: EventBatch) {
        announceCheckpoint(at: batch.through, milliseconds: batch.events.last?.persistedAtMilliseconds)
    }

    /// - Parameter milliseconds: when the last event that was passed had been persisted; nil where that is not known.
    func announceCheckpoint(at position: StreamID, milliseconds: Int64?) {
        metrics.reached(position, newest: reader.generator.watermark.minimum, milliseconds: milliseconds)
        reader.generator.announceCheckpoint(of: claim.name, at: position)
    }

    /// Whether this consumer's past was complete, up to its checkpoint. It reads all of the stream.
    public func audit() async throws -> Audit {
        try await reader.store.audit(claim.stream, consumer: claim.name, limit: 1000)
    }
}

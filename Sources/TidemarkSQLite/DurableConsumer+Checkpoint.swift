public import GRDB
public import Tidemark

extension DurableConsumer {
    /// Moves the checkpoint to the end of a batch in the caller's transaction, together with what the caller makes of its
    /// events: both are there, or neither. So each event counts exactly once.
    ///
    /// ```swift
    /// for try await batch in consumer.events {
    ///     try await store.write { db in
    ///         for event in batch.events { try apply(event, db) }
    ///         try consumer.checkpoint(batch, in: db)
    ///     }
    /// }
    /// ```
    ///
    /// It demands that the claim is the newest, and that the checkpoint is exactly where the batch begins. So the loop around
    /// it may be run again when it is not known what became of a COMMIT. After an error the transaction can only be rolled
    /// back: it does not commit even where the caller swallows the error.
    ///
    /// `db` is as in `EventLog.commit(_:in:)`.
    ///
    /// - Throws: `TidemarkError.alreadyPassed(stream:consumer:begin:checkpoint:)` where the batch was dealt with before: go
    ///   on with a new reader of the consumer. `TidemarkError.notYetPassed(stream:consumer:begin:checkpoint:)` where a batch
    ///   before it was left out; `TidemarkError.consumerTaken(stream:consumer:)`,
    ///   `TidemarkError.databaseWentBackwards(stream:id:problem:)`,
    ///   `TidemarkError.unsuitableTransaction(store:problem:)`, also for a batch that no reader has made; or GRDB's
    ///   `DatabaseError`.
    public func checkpoint(_ batch: EventBatch, in db: Database) throws {
        do {
            let transaction = try OwnTransaction(db, of: store)
            guard let begin = batch.start?.position else {
                throw TidemarkError.unsuitableTransaction(
                    store: transaction.store.path,
                    problem: "no reader has made the batch, so that nobody knows where it begins")
            }
            try transaction.store.checkpoint(
                claim, from: begin, at: batch.through, snapshot: batch.snapshot, delivered: batch.delivered,
                passed: batch.passed, in: db)
            db.afterNextTransaction { _ in self.announceCheckpoint(batch) }
        } catch {
            RefusedTransaction.refuse(db, because: error)
            throw error
        }
    }
}

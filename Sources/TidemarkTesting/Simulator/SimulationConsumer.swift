import Tidemark

/// A consumer of a background reader that is to be tried in a simulation: a projection, an outbox, an index.
///
/// It sees what it would see in production: batches in order, crashes between a batch and its checkpoint, and after a
/// crash everything from the checkpoint on once more.
public protocol SimulationConsumer: Sendable {
    /// The reader begins, or begins again, after this checkpoint. What the consumer has of later events is what it kept
    /// of them before a crash.
    mutating func begin(after checkpoint: StreamID)
    /// The next events, in order. Throwing ends the simulation with ``SimulationFailure/Kind/consumer``.
    mutating func receive(_ batch: EventBatch) throws
}

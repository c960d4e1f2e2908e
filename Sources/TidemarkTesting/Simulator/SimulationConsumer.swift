import Tidemark

/// A consumer of a background reader that is to be tried in a simulation: a projection, an outbox, an index.
///
/// It sees what it would see in production: batches in order, crashes, checkpoints that are written some time after
/// their batch or never, and after a crash everything from the checkpoint on once more. It is a value that outlives
/// its process: what it keeps durably it keeps in its properties, and what it keeps in memory only it forgets in
/// ``crash()``. Each process of the simulation has a copy of its own.
///
/// ```swift
/// /// Counts events in a table of its own, and keeps its place in the same transaction.
/// struct EventCount: SimulationConsumer {
///     var count = 0
///     var place: StreamID = 0
///
///     mutating func receive(_ batch: EventBatch) {
///         // What comes again after a crash was counted already.
///         count += batch.events.count { $0.streamID > place }
///         place = max(place, batch.through)
///     }
///
///     func verify(_ events: [PersistedEvent], through position: StreamID) throws {
///         if count != events.count { throw WrongCount(count: count, expected: events.count) }
///     }
/// }
///
/// var configuration = SimulationConfiguration()
/// configuration.consumer = EventCount()
/// for seed in 0..<1000 as Range<UInt64> {
///     var simulation = Simulation(seed: seed, configuration: configuration)
///     try simulation.run()
/// }
/// ```
public protocol SimulationConsumer: Sendable {
    /// The reader begins, or begins again, after this checkpoint. It does nothing unless implemented.
    mutating func begin(after checkpoint: StreamID) throws
    /// The next events, in order; at least one. A checkpoint at the batch's end may follow at any time before the next
    /// batch, or not at all.
    mutating func receive(_ batch: EventBatch) throws
    /// The process is gone, and with it what was only in memory. It does nothing unless implemented.
    mutating func crash()
    /// The simulation is over: is what the consumer has what it should have? It does nothing unless implemented.
    ///
    /// - Parameters:
    ///   - events: all that the stream has through `position`: each of them was given to the consumer, at least once.
    ///   - position: as far as the reader ever came. After its last crash it has come there again.
    mutating func verify(_ events: [PersistedEvent], through position: StreamID) throws
}

extension SimulationConsumer {
    public mutating func begin(after checkpoint: StreamID) throws {}
    public mutating func crash() {}
    public mutating func verify(_ events: [PersistedEvent], through position: StreamID) throws {}
}

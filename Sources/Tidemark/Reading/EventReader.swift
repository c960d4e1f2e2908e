/// Reads a stream in order, up to the minimum persisted position: total order, nothing skipped, nothing twice.
///
/// Each batch comes from a fresh snapshot, and nothing is held open between batches. What may be delivered is decided
/// by ``ReaderCursor``.
public final class EventReader: Sendable {
    let stream: StreamName
    let store: any EventStore
    let generator: MultiWriterIDGenerator
    let reconciler: Reconciler
    let configuration: EventLogConfiguration
    let time: TimeSource
    /// Throws when the log has stopped.
    let checkRunning: @Sendable () throws -> Void

    init(
        stream: StreamName, store: any EventStore, generator: MultiWriterIDGenerator, reconciler: Reconciler,
        configuration: EventLogConfiguration, time: TimeSource, checkRunning: @escaping @Sendable () throws -> Void
    ) {
        self.stream = stream
        self.store = store
        self.generator = generator
        self.reconciler = reconciler
        self.configuration = configuration
        self.time = time
        self.checkRunning = checkRunning
    }

    /// The events after `position`, in batches, for as long as the reader goes on. A batch is read when it is asked
    /// for: a slow consumer holds nothing up and fills no memory.
    ///
    /// The sequence throws ``TidemarkError/databaseWentBackwards(stream:id:problem:)`` where what was delivered is
    /// not there any more, ``TidemarkError/stopped(stream:instance:)`` after the log was shut down, `CancellationError`,
    /// or what the store throws.
    public func events(after position: StreamID = 0) -> EventBatches {
        EventBatches(reader: self, after: position, claim: nil)
    }
}

/// Some events in order, read in one snapshot.
public struct EventBatch: Sendable {
    /// At least one.
    public let events: [PersistedEvent]
    /// Everything up to this ID was delivered with this batch: the place to go on from, at or above the last event.
    public let through: StreamID
    /// The number of the newest commit that the batch's snapshot held.
    public let commitNumber: Int64

    public init(events: [PersistedEvent], through: StreamID, commitNumber: Int64) {
        self.events = events
        self.through = through
        self.commitNumber = commitNumber
    }
}

/// The batches of a background reader, as long as one asks for them.
public struct EventBatches: AsyncSequence, Sendable {
    public typealias Element = EventBatch

    let reader: EventReader
    let after: StreamID
    let claim: ConsumerClaim?

    public func makeAsyncIterator() -> Iterator {
        Iterator(progress: ReadingProgress(reader: reader, claim: claim, after: after))
    }

    public struct Iterator: AsyncIteratorProtocol {
        var progress: ReadingProgress

        /// Waits until there are events to deliver.
        public mutating func next() async throws -> EventBatch? {
            try await next(isolation: nil)
        }

        /// Waits until there are events to deliver.
        public mutating func next(isolation: isolated (any Actor)?) async throws -> EventBatch? {
            while true {
                let request = try await progress.nextRequest()
                let reader = progress.reader
                guard let snapshot = try await reader.store.snapshot(of: reader.stream, request) else {
                    throw progress.streamIsGone
                }
                guard try progress.received(snapshot, last: snapshot.lastDelivered, for: request),
                    !snapshot.events.isEmpty
                else { continue }
                return EventBatch(
                    events: snapshot.events, through: progress.cursor.position, commitNumber: snapshot.commitNumber)
            }
        }
    }
}

extension Snapshot {
    fileprivate var lastDelivered: Delivered? {
        events.last.map { Delivered(streamID: $0.streamID, commitNumber: $0.commitNumber, eventID: $0.event.id) }
    }
}

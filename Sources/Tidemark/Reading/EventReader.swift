/// Reads a stream in order, up to the minimum persisted position: total order, nothing skipped, nothing twice.
///
/// Each batch comes from a fresh snapshot, and nothing is held open between batches. What may be delivered is decided
/// by `ReaderCursor`.
public final class EventReader: Sendable {
    let stream: StreamName
    let store: any EventStore
    let generator: MultiWriterIDGenerator
    let configuration: EventLogConfiguration
    let time: TimeSource

    init(
        stream: StreamName, store: any EventStore, generator: MultiWriterIDGenerator,
        configuration: EventLogConfiguration, time: TimeSource
    ) {
        self.stream = stream
        self.store = store
        self.generator = generator
        self.configuration = configuration
        self.time = time
    }

    /// The events after `position`, in batches, for as long as the reader goes on. A batch is read when it is asked
    /// for: a slow consumer holds nothing up and fills no memory.
    ///
    /// The sequence throws ``TidemarkError/databaseWentBackwards(stream:id:problem:)`` where what was delivered is
    /// not there any more, and where the stream has not come as far as `position`: otherwise what will be there is
    /// skipped. ``TidemarkError/stopped(stream:instance:)`` after the log was shut down, `CancellationError`,
    /// or what the store throws.
    public func events(after position: StreamID = 0) -> EventBatches {
        EventBatches(reader: self, after: position, claim: nil)
    }
}

/// Some events in order, read in one snapshot.
///
/// Without a filter there is at least one event in it, Tidemark's or the user's own. Together the events are all that the
/// stream will ever hold between the batch before and `through`: what is committed later has a higher ID. With a filter a
/// batch has the events that pass it. It may have none: after many events that do not pass, or all there are, an empty batch
/// comes, so that the consumer's checkpoint can move on.
public struct EventBatch: Sendable {
    /// Events in Tidemark's table, ascending.
    public let events: [PersistedEvent]
    /// Events in tables of the user's own, ascending. Read exactly these IDs from those tables: they are committed, so every
    /// snapshot that is opened from now on holds their rows.
    public let externalEvents: [ExternalEvent]
    /// Everything up to this ID was delivered with this batch: the place to go on from, at or above the last event.
    public let through: StreamID
    /// What the batch's snapshot had seen; a checkpoint at its end keeps it.
    public let snapshot: SnapshotMark
    /// Which database it came from.
    public let database: DatabaseID
    /// Where it begins; nil for a batch that no reader has made.
    package var start: BatchStart?
    /// The last event at or below its end, in it or left out by a filter; nil where the batch's own events say it.
    var lastPassed: Delivered?
    /// The newest incarnation of the stream in the snapshot; nil where the store tells of none.
    var era: Incarnation?

    /// For tests of what handles batches. A batch that no reader has made tells a checkpoint nothing of what was
    /// delivered.
    public init(
        events: [PersistedEvent], externalEvents: [ExternalEvent] = [], through: StreamID, snapshot: SnapshotMark,
        database: DatabaseID = DatabaseID(0)
    ) {
        self.database = database
        self.events = events
        self.externalEvents = externalEvents
        self.through = through
        self.snapshot = snapshot
    }

    /// The batch without what comes after `end`; the batch itself where nothing does.
    public func ending(at end: StreamID) -> EventBatch {
        guard through > end else { return self }
        var batch = EventBatch(
            events: events.filter { $0.streamID <= end }, externalEvents: externalEvents.filter { $0.streamID <= end },
            through: end, snapshot: snapshot, database: database)
        // Where the batch begins above `end`, it is not known how much was given up to there.
        if let start, start.position <= end { batch.start = start }
        batch.era = era
        return batch
    }

    /// The place at its end, to be kept outside of the database; ``ConsumerStart/after(_:)-type.method`` takes it.
    public var place: EventPlace { EventPlace(database: database, id: through, mark: passed?.mark, era: era) }

    /// The last event at or below the end of this batch; nil where that is not known.
    package var passed: Delivered? { lastPassed ?? Delivered.last(of: events, externalEvents) ?? start?.passed }

    /// What a consumer was given up to the end of this batch, from the beginning of the stream; nil where that is not
    /// known.
    package var delivered: DeliveredSum? {
        guard var delivered = start?.delivered else { return nil }
        for event in events { delivered.add(event.streamID, mark: event.mark) }
        for event in externalEvents { delivered.add(event.streamID, mark: event.mark) }
        return delivered
    }
}

/// Where a batch begins.
package struct BatchStart: Sendable {
    /// The end of the batch before, or the checkpoint that the consumer had when it began.
    package let position: StreamID
    /// The last event at or below the position; nil where that is not known.
    let passed: Delivered?
    /// What a consumer was given up to there, from the beginning of the stream; nil where that is not known.
    let delivered: DeliveredSum?
}

/// The batches of a background reader, as long as one asks for them.
public struct EventBatches: AsyncSequence, Sendable {
    /// What one call of the iterator gives.
    public typealias Element = EventBatch

    let reader: EventReader
    let after: StreamID
    let claim: ConsumerClaim?
    var metrics: ConsumerMetrics?

    /// Begins to read. Each iterator has a place of its own.
    public func makeAsyncIterator() -> Iterator {
        Iterator(progress: ReadingProgress(reader: reader, claim: claim, after: after), metrics: metrics)
    }

    /// Gives one batch after the other; each reading from it takes a snapshot of its own.
    public struct Iterator: AsyncIteratorProtocol {
        var progress: ReadingProgress
        let metrics: ConsumerMetrics?

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
                let isEmpty = snapshot.events.isEmpty && snapshot.externalEvents.isEmpty
                guard try progress.received(snapshot, last: snapshot.passed, for: request),
                    !isEmpty || progress.hasPassedUnseen
                else { continue }
                var batch = EventBatch(
                    events: snapshot.events, externalEvents: snapshot.externalEvents, through: progress.cursor.position,
                    snapshot: snapshot.mark, database: snapshot.database)
                batch.start = progress.start
                batch.lastPassed = progress.cursor.delivered
                batch.era = snapshot.membership.eras.last?.incarnation
                metrics?.reached(
                    progress.start.position, newest: reader.generator.watermark.minimum,
                    milliseconds: batch.events.first?.persistedAtMilliseconds)
                progress.gave(batch.delivered)
                return batch
            }
        }
    }
}

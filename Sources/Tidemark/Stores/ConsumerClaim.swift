#if canImport(FoundationEssentials)
public import FoundationEssentials
#else
public import Foundation
#endif

/// The right to move a consumer's checkpoint, until somebody else claims the name.
public struct ConsumerClaim: Hashable, Sendable {
    /// The stream that the consumer reads.
    public let stream: StreamName
    /// The name that was claimed.
    public let name: ConsumerName
    /// Grows by a random step with each claim, so that two lives of a database do not count alike.
    public let generation: Int
    /// The checkpoint at the time of the claim; 0 for a new consumer.
    public let position: StreamID
    /// What was delivered up to there; nil where that is not known.
    public let delivered: DeliveredSum?
    /// The last event at or below the checkpoint, by which the database is known again; nil when there is none.
    public let passed: Delivered?
    /// Random, and kept with the consumer: with it a transaction of the user's own shows that the claim is this one.
    public let key: Int64
    /// Which events the consumer is given.
    public let filter: EventFilter

    /// For stores, from the transaction that wrote the claim down.
    public init(
        stream: StreamName, name: ConsumerName, generation: Int, position: StreamID, delivered: DeliveredSum? = nil,
        passed: Delivered? = nil, key: Int64 = 0, filter: EventFilter = .all
    ) {
        self.key = key
        self.filter = filter
        self.stream = stream
        self.name = name
        self.generation = generation
        self.position = position
        self.delivered = delivered
        self.passed = passed
    }

    /// What a snapshot is asked for with.
    var mark: ClaimMark { ClaimMark(consumer: name, generation: generation) }

    /// For stores: whether a checkpoint may move on with a batch that begins at this ID.
    ///
    /// - Parameters:
    ///   - begin: nil where it may be anywhere.
    ///   - checkpoint: where it is.
    ///   - found: the key of the newest claim; nil where it was given back.
    /// - Throws: ``TidemarkError/alreadyPassed(stream:consumer:begin:checkpoint:)``,
    ///   ``TidemarkError/notYetPassed(stream:consumer:begin:checkpoint:)``, ``TidemarkError/consumerTaken(stream:consumer:)``.
    package func require(begin: StreamID?, checkpoint: StreamID, key found: Int64?) throws(TidemarkError) {
        guard let begin else { return }
        if found != key { throw .consumerTaken(stream: stream, consumer: name) }
        if checkpoint > begin {
            throw .alreadyPassed(stream: stream, consumer: name, begin: begin, checkpoint: checkpoint)
        }
        if checkpoint < begin {
            throw .notYetPassed(stream: stream, consumer: name, begin: begin, checkpoint: checkpoint)
        }
    }

    /// For stores: the claim has to be the newest that the database has of the consumer.
    ///
    /// - Parameter found: nil where there is no such consumer.
    /// - Throws: ``TidemarkError/consumerTaken(stream:consumer:)``, and
    ///   ``TidemarkError/databaseWentBackwards(stream:id:problem:)`` for a claim that is yet to come, and for a consumer
    ///   that is not there any more: a backup from before its first claim was put back.
    public func require(generation found: Int?) throws(TidemarkError) {
        guard found != generation else { return }
        guard let found else {
            throw .databaseWentBackwards(
                stream: stream, id: position, problem: "there is no consumer \(name) any more")
        }
        if found < generation {
            throw .databaseWentBackwards(
                stream: stream, id: position, problem: "it knows nothing of this claim of consumer \(name)")
        }
        throw .consumerTaken(stream: stream, consumer: name)
    }
}

/// Where a consumer begins, or goes on.
///
/// It is never above what is finished: what is committed later would be left out.
public enum ConsumerStart: Hashable, Sendable {
    /// With the first event of the stream.
    case beginning
    /// With what comes after everything that is finished now.
    case end
    /// With what comes after this ID.
    case after(StreamID)
    /// With what comes after a place that was kept elsewhere.
    case afterPlace(EventPlace)
    /// With the first event that was persisted at this time or later, by the wall clock of its writer, and all that come
    /// after it; with the end where there is none.
    case at(Date)

    /// With what comes after a place that was kept elsewhere: ``EventBatch/place``.
    public static func after(_ place: EventPlace) -> ConsumerStart { .afterPlace(place) }

    /// For stores: the time of ``at(_:)`` as the stores keep times, rounded up; nil for any other start.
    package var milliseconds: Int64? {
        guard case .at(let date) = self else { return nil }
        let milliseconds = (date.timeIntervalSince1970 * 1000).rounded(.up)
        return Int64(exactly: milliseconds) ?? (milliseconds < 0 ? .min : .max)
    }

    /// For stores: the ID that a consumer is to be put after, and whether the highest possible one is taken where that is
    /// not reached.
    ///
    /// - Parameter first: of ``at(_:)`` the first event of that time; nil where there is none.
    package func target(first: StreamID?) -> (id: StreamID, isBounded: Bool) {
        switch self {
        case .beginning: (0, false)
        case .end: (StreamID(.max), true)
        case .after(let id): (id, false)
        case .afterPlace(let place): (place.id, false)
        case .at: (first.map { StreamID($0.rawValue - 1) } ?? StreamID(.max), true)
        }
    }

    /// The same for a store that has found how far everything is finished.
    ///
    /// - Throws: ``TidemarkError/notReached(stream:id:highest:)``, and ``TidemarkError/otherDatabase(stream:place:)``.
    package func position(
        first: StreamID?, highest: StreamID, in stream: StreamName, of database: DatabaseID
    ) throws(TidemarkError) -> StreamID {
        if case .afterPlace(let place) = self, place.database != database {
            throw .otherDatabase(stream: stream, place: place)
        }
        let target = target(first: first)
        if target.isBounded { return min(target.id, highest) }
        guard (0...highest).contains(target.id) else {
            throw .notReached(stream: stream, id: target.id, highest: highest)
        }
        return target.id
    }

    /// For stores: what the last event at or below a place that was kept has to be.
    ///
    /// - Parameter last: nil where there is none.
    /// - Throws: ``TidemarkError/databaseWentBackwards(stream:id:problem:)``.
    package func require(last: Delivered?, in stream: StreamName) throws(TidemarkError) {
        guard case .afterPlace(let place) = self, let mark = place.mark, last?.mark != mark else { return }
        throw .databaseWentBackwards(
            stream: stream, id: place.id,
            problem: "the last event up to there is not what it was when the place was kept")
    }
}

/// What a reader asks for that wants to go on under a consumer's name.
public struct ConsumerRequest: Hashable, Sendable {
    /// The stream that it reads.
    public var stream: StreamName
    /// The name that it keeps its place under.
    public var consumer: ConsumerName
    /// Where the consumer begins, if it is made now.
    public var start: ConsumerStart = .beginning
    /// As far as a snapshot has confirmed that everything is finished; nil where that is not known. A store that finds the
    /// membership of another version goes by the durable positions alone.
    public var confirmed: Watermark?
    /// Which events it is given; a consumer that is there has to have the same one.
    public var filter: EventFilter = .all
    /// Whether it is taken from a process that lives and has it.
    public var takingOver = true
    /// The claim, by its generation, from which it is taken although its process lives: one of this process itself.
    public var replacing: Int?
    /// Random, not 0, and kept with the claim: as the nonce in ``EventStore/join(_:as:nonce:)``.
    public var key: Int64

    /// A consumer that begins at the beginning, is given all events, and is taken over from the process that has it.
    public init(stream: StreamName, consumer: ConsumerName, key: Int64 = .random(in: 1 ... .max)) {
        self.stream = stream
        self.consumer = consumer
        self.key = key
    }

    /// For stores: whether the filter can be kept.
    ///
    /// - Throws: ``TidemarkError/invalidFilter(stream:consumer:problem:)``.
    public func requireValid() throws(TidemarkError) { try filter.require(in: stream, of: consumer) }

    /// For stores: a consumer that is there has this filter.
    ///
    /// - Throws: ``TidemarkError/filterDiffers(stream:consumer:stored:)``.
    public func require(stored: EventFilter) throws(TidemarkError) {
        if stored != filter { throw .filterDiffers(stream: stream, consumer: consumer, stored: stored) }
    }
}

extension EventFilter {
    /// For stores: whether it can be kept.
    ///
    /// - Throws: ``TidemarkError/invalidFilter(stream:consumer:problem:)``.
    package func require(in stream: StreamName, of consumer: ConsumerName) throws(TidemarkError) {
        if let problem { throw .invalidFilter(stream: stream, consumer: consumer, problem: problem) }
    }
}

/// Where a consumer is, for a caller that waits for it.
public struct ConsumerPosition: Hashable, Sendable {
    /// The checkpoint.
    public let position: StreamID
    /// Whether the event that was asked about was put aside.
    public let isParked: Bool
    /// The newest eras of the stream, as in `Membership`.
    public let eras: [Era]

    /// For stores, from one snapshot.
    public init(position: StreamID, isParked: Bool = false, eras: [Era] = []) {
        self.position = position
        self.isParked = isParked
        self.eras = eras
    }
}

/// What becomes of a process that reads under the consumer's name already.
public enum WhenTaken: Hashable, Sendable {
    /// It is stopped with an error, which is what a service wants that is replaced by a newer one of itself.
    case takeOver
    /// It is left alone for as long as its process has its store open: ``TidemarkError/consumerInUse(stream:consumer:by:)``.
    case fail
    /// It is left alone, and waited for until its process is gone, or has closed its store. A reader of the same log is not
    /// waited for: a log that goes on after an error takes the consumer over from its own earlier reader.
    case standBy
}

extension Delivered {
    /// The last of the events; nil when there are none.
    static func last(of events: [PersistedEvent], _ externalEvents: [ExternalEvent]) -> Delivered? {
        let event = events.last.map {
            Delivered(streamID: $0.streamID, mark: $0.mark, eventID: $0.event.id)
        }
        guard let external = externalEvents.last, external.streamID > event?.streamID ?? 0 else { return event }
        return Delivered(streamID: external.streamID, mark: external.mark)
    }

    /// For stores: it has to be in the database still.
    ///
    /// - Throws: ``TidemarkError/databaseWentBackwards(stream:id:problem:)``.
    public func require(_ isThere: Bool, in stream: StreamName, of consumer: ConsumerName) throws(TidemarkError) {
        guard !isThere else { return }
        throw .databaseWentBackwards(
            stream: stream, id: streamID, problem: "the event that consumer \(consumer) has passed is not there now")
    }
}

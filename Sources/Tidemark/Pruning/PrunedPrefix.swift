public import TidemarkCore

/// What is left of the events that were pruned: the beginning of a stream, up to a mark below which nothing will be committed.
public struct PrunedPrefix: Hashable, Sendable {
    /// The mark: of what is at or below it nothing is left but the ids of events. 0 where nothing was pruned.
    public var through: StreamID = 0
    /// The newest event that was pruned, by which the database is known again; nil where none was.
    public var last: Delivered?
    /// How many events were pruned, and their sum.
    public var events = DeliveredSum()
    /// The newest of the commits of which rows were pruned, where commits are counted.
    public var newestCommit = CommitMark(0)
    /// The latest time at which an event was persisted that was pruned, in milliseconds since 1970-01-01 UTC.
    public var latestMilliseconds: Int64?
    /// Up to here the ids are gone too.
    public var forgottenThrough: StreamID = 0

    /// The prefix of a stream that was never pruned: nothing.
    public init() {}

    /// For stores: the event is counted among what was pruned. They come in ascending order.
    public mutating func add(_ event: Delivered, milliseconds: Int64) {
        last = Delivered(streamID: event.streamID, mark: event.mark)
        events.add(event.streamID, mark: event.mark)
        latestMilliseconds = max(latestMilliseconds ?? milliseconds, milliseconds)
    }

    /// For stores: everything that follows the position is there.
    ///
    /// A place at or above the newest event that was pruned has lost nothing, also where the mark is higher.
    ///
    /// - Throws: ``TidemarkError/pruned(stream:after:through:)``.
    public func require(_ position: StreamID, in stream: StreamName) throws(TidemarkError) {
        guard let last, position < last.streamID else { return }
        throw .pruned(stream: stream, after: position, through: through)
    }

    /// For stores: the event is there.
    ///
    /// - Throws: ``TidemarkError/pruned(stream:after:through:)``.
    public func require(event id: StreamID, in stream: StreamName) throws(TidemarkError) {
        if id <= through { throw .pruned(stream: stream, after: StreamID(id.rawValue - 1), through: through) }
    }

    /// For stores: a consumer that begins there is given all that it asks for.
    ///
    /// - Parameter position: what the start was found to mean.
    /// - Throws: ``TidemarkError/pruned(stream:after:through:)``.
    public func require(
        _ start: ConsumerStart, at position: StreamID, in stream: StreamName
    ) throws(TidemarkError) {
        try require(position, in: stream)
        // Some of that time, or later, may be gone.
        if let time = start.milliseconds, let latestMilliseconds, time <= latestMilliseconds {
            throw .pruned(stream: stream, after: 0, through: through)
        }
    }

    /// For stores: whether an event of which no row is left was this one, as far as that can be told.
    public func mayHaveHeld(_ delivered: Delivered) -> Bool {
        guard let last else { return false }
        return delivered.streamID == last.streamID ? delivered.mark == last.mark : delivered.streamID < last.streamID
    }

    /// For stores: a group of which not all ids are there was never committed.
    ///
    /// - Throws: ``TidemarkError/pruned(stream:after:through:)`` where it may have been committed, and its ids were forgotten.
    public func requireKnown(_ group: EventGroup) throws(TidemarkError) {
        guard group.known < forgottenThrough else { return }
        throw .pruned(stream: group.stream, after: group.known, through: through)
    }
}

/// What keeps a stream from being pruned any further.
public enum PruneHolder: Hashable, Sendable, CustomStringConvertible {
    /// The consumer has not passed it yet.
    case consumer(ConsumerName)
    /// The writer may still commit above its durable position.
    case writer(Writer)
    /// The stream does not go any further.
    case end

    /// Who it is, for people.
    public var description: String {
        switch self {
        case .consumer(let name): "consumer \(name)"
        case .writer(let writer): "writer \(writer)"
        case .end: "the stream's newest ID"
        }
    }

    var advice: String {
        switch self {
        case .consumer:
            "; nothing was removed: let it go on, ignore it where it is abandoned, or delete it (tidemark consumer delete)"
        case .writer: "; nothing was removed: try again, or see what it does (tidemark status)"
        case .end: "; nothing was removed"
        }
    }
}

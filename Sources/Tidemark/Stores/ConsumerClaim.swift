/// The right to move a consumer's checkpoint, until somebody else claims the name.
public struct ConsumerClaim: Hashable, Sendable {
    public let stream: StreamName
    public let name: ConsumerName
    /// Grows by a random step with each claim, so that two lives of a database do not count alike.
    public let generation: Int
    /// The checkpoint at the time of the claim; 0 for a new consumer.
    public let position: StreamID
    /// What was delivered up to there; nil where that is not known.
    public let delivered: DeliveredSum?
    /// The last event at or below the checkpoint, by which the database is known again; nil when there is none.
    public let passed: Delivered?

    public init(
        stream: StreamName, name: ConsumerName, generation: Int, position: StreamID, delivered: DeliveredSum? = nil,
        passed: Delivered? = nil
    ) {
        self.stream = stream
        self.name = name
        self.generation = generation
        self.position = position
        self.delivered = delivered
        self.passed = passed
    }

    /// What a snapshot is asked for with.
    var mark: ClaimMark { ClaimMark(consumer: name, generation: generation) }

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

/// Where a consumer goes on.
public enum ConsumerStart: Hashable, Sendable {
    /// With the first event of the stream.
    case beginning
    /// With what comes after everything that is finished now.
    case end
    /// With what comes after this ID.
    case after(StreamID)
}

extension Delivered {
    /// The last of the events; nil when there are none.
    static func last(of events: [PersistedEvent], _ externalEvents: [ExternalEvent]) -> Delivered? {
        let event = events.last.map {
            Delivered(streamID: $0.streamID, mark: $0.mark, eventID: $0.event.id)
        }
        guard let own = externalEvents.last, own.streamID > event?.streamID ?? 0 else { return event }
        return Delivered(streamID: own.streamID, mark: own.mark)
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

/// A store that a stream can be moved out of, and into: ``StreamMove`` uses it.
public protocol MovableStore: EventStore {
    /// The stream with all that is not in its rows, as one snapshot has it; nil where there is none.
    func movedStream(_ stream: StreamName) async throws -> MovedStream?
    /// Rows above `position`, ascending: `limit` at most, and none after their payloads have reached `byteLimit`.
    func movedRows(
        of stream: StreamName, after position: StreamID, limit: Int, byteLimit: Int
    ) async throws -> [MovedRow]

    /// Ends all epochs and all claims, in one transaction that excludes whoever commits; from then on it refuses writers,
    /// readers and consumers with ``TidemarkError/streamMoved(stream:store:to:)``. Does nothing where it has moved there
    /// already.
    func moveAway(_ stream: StreamName, to destination: String) async throws
    /// Takes that back: whoever comes may use the stream here again.
    func moveBack(_ stream: StreamName) async throws

    /// Makes the stream for rows that arrive; until ``endArrival(of:as:)`` it is refused to everybody with
    /// ``TidemarkError/streamArriving(stream:store:from:)``. Does nothing where it arrives from there already.
    ///
    /// - Throws: ``TidemarkError/streamExists(stream:store:)``.
    func beginArrival(of stream: StreamName, from source: String) async throws
    /// Puts rows into a stream that arrives, all or none. They ascend, and are above those that are there.
    func receive(_ rows: [MovedRow], in stream: StreamName) async throws
    /// Puts the rest there, the sequence above all that was ever visible, and lets everybody in.
    func endArrival(of stream: StreamName, as moved: MovedStream) async throws
    /// Removes a stream that arrives, with its rows. Does nothing where there is none.
    func cancelArrival(of stream: StreamName) async throws
}

/// A stream without its rows.
public struct MovedStream: Hashable, Sendable {
    /// The newest ID of the sequence; nothing that is known of the stream is above it.
    public var sequence: StreamID
    /// The highest ID that has a row; 0 where there is none.
    public var newestRow: StreamID
    /// Rows at or below it are all there will ever be.
    public var minimum: StreamID
    /// The membership version, from which the other store goes on.
    public var membershipVersion: Int
    /// The highest epoch of names that were forgotten.
    public var forgottenEpoch: Int
    /// The newest epoch of each name.
    public var epochs: [InstanceName: Int]
    /// The consumers with their checkpoints, all of which go along.
    public var consumers: [MovedConsumer]
    /// Where the stream has gone; nil where it is here.
    public var movedTo: String?
    /// Where it is coming from; nil where it is whole.
    public var arrivingFrom: String?

    /// For stores, from one snapshot.
    public init(
        sequence: StreamID, newestRow: StreamID, minimum: StreamID, membershipVersion: Int, forgottenEpoch: Int,
        epochs: [InstanceName: Int], consumers: [MovedConsumer], movedTo: String? = nil, arrivingFrom: String? = nil
    ) {
        self.sequence = sequence
        self.newestRow = newestRow
        self.minimum = minimum
        self.membershipVersion = membershipVersion
        self.forgottenEpoch = forgottenEpoch
        self.epochs = epochs
        self.consumers = consumers
        self.movedTo = movedTo
        self.arrivingFrom = arrivingFrom
    }
}

/// A consumer's checkpoint.
public struct MovedConsumer: Hashable, Sendable {
    /// The name under which it keeps its place.
    public let name: ConsumerName
    /// The generation of its last claim, from which the other store goes on.
    public let generation: Int
    /// Its checkpoint.
    public let position: StreamID
    /// What it was given up to there, with the marks of the store that has it; nil where that is not known.
    public var delivered: DeliveredSum?
    /// The last event that it has passed, with its mark; nil where there is none.
    public var passed: Delivered?
    /// Where it began, or was moved to: what it was given is counted from there.
    public let start: StreamID
    /// Which events it is given.
    public let filter: EventFilter

    /// For stores, from one snapshot.
    public init(
        name: ConsumerName, generation: Int, position: StreamID, delivered: DeliveredSum?, passed: Delivered?,
        start: StreamID = 0, filter: EventFilter = .all
    ) {
        self.start = start
        self.filter = filter
        self.name = name
        self.generation = generation
        self.position = position
        self.delivered = delivered
        self.passed = passed
    }
}

/// A row of a stream.
public struct MovedRow: Hashable, Sendable {
    /// What a row holds.
    public enum Content: Hashable, Sendable {
        /// An event that is in the store itself, with all that it says.
        case event(Event)
        /// An event in a table of the user's own, which is not moved with the stream.
        case externalEvent
        /// Nothing, for good: its ID was abandoned.
        case tombstone
    }

    /// The row's place in the stream, which is the same in both stores.
    public let streamID: StreamID
    /// What it holds.
    public let content: Content
    /// Who wrote it.
    public let instance: InstanceName
    /// In milliseconds since 1970-01-01 UTC.
    public let persistedAtMilliseconds: Int64
    /// By which the store that has it knows it again; the other one gives it a mark of its own.
    public let mark: CommitMark

    /// For stores.
    public init(
        streamID: StreamID, content: Content, instance: InstanceName, persistedAtMilliseconds: Int64, mark: CommitMark
    ) {
        self.streamID = streamID
        self.content = content
        self.instance = instance
        self.persistedAtMilliseconds = persistedAtMilliseconds
        self.mark = mark
    }

    /// Whether both say the same, apart from their marks.
    func isSame(as other: MovedRow) -> Bool {
        streamID == other.streamID && content == other.content && instance == other.instance
            && persistedAtMilliseconds == other.persistedAtMilliseconds
    }
}

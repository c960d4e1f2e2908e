/// A store that a stream can be moved out of, and into: ``StreamMove`` uses it.
public protocol MovableStore: EventStore {
    /// The stream with all that is not in its rows, as one snapshot has it; nil where there is none.
    func movedStream(_ stream: StreamName) async throws -> MovedStream?
    /// Rows above `position`, ascending: `limit` at most, and none after their payloads have reached `byteLimit`.
    func movedRows(
        of stream: StreamName, after position: StreamID, limit: Int, byteLimit: Int
    ) async throws -> [MovedRow]

    /// What a consumer has parked, ascending, from the first above `position`: `limit` at most, and none after their payloads
    /// have reached `byteLimit`.
    func movedParked(
        of stream: StreamName, by consumer: ConsumerName, after position: StreamID, limit: Int, byteLimit: Int
    ) async throws -> [ParkedEvent]
    /// The keys that lost events to pruning, in the order of their UTF-8, from the first after `key` on: `limit` at most.
    func movedPrunedKeys(of stream: StreamName, after key: String?, limit: Int) async throws -> [PrunedKey]

    /// Ends all epochs and all claims, in one transaction that excludes commits; from then on it refuses writers,
    /// readers and consumers with ``TidemarkError/streamMoved(stream:store:to:)``. Does nothing where it has moved there
    /// already.
    func moveAway(_ stream: StreamName, to destination: String) async throws
    /// Takes that back: the stream may be used here again.
    func moveBack(_ stream: StreamName) async throws

    /// Makes the stream for rows that arrive; until ``endArrival(of:as:)`` it is refused to everybody with
    /// ``TidemarkError/streamArriving(stream:store:from:)``. Does nothing where it arrives from there already.
    ///
    /// - Throws: ``TidemarkError/streamExists(stream:store:)``.
    func beginArrival(of stream: StreamName, from source: String) async throws
    /// Puts rows into a stream that arrives, all or none. They ascend, and are above those that are there.
    func receive(_ rows: [MovedRow], in stream: StreamName) async throws
    /// Makes rows of a stream that arrives what pruning has left of them where they come from, `limit` rows at most from the
    /// first after `position` on: of events at or below the mark their ids stay, where those were not forgotten, and of everything
    /// else nothing. Then it keeps what the prefix says.
    ///
    /// - Returns: after which row it is to be called again; nil where all is done.
    func receivePruned(
        _ prefix: PrunedPrefix, in stream: StreamName, after position: StreamID, limit: Int
    ) async throws -> StreamID?
    /// Puts keys that lost events to pruning into a stream that arrives. Those that are there already may come again.
    func receivePruned(_ keys: [PrunedKey], in stream: StreamName) async throws
    /// Puts what a consumer has parked into a stream that arrives. What is there already may come again.
    func receiveParked(_ events: [ParkedEvent], of consumer: ConsumerName, in stream: StreamName) async throws
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
    /// What was pruned of it.
    public var pruned: PrunedPrefix
    /// Where the stream has gone; nil where it is here.
    public var movedTo: String?
    /// Where it is coming from; nil where it is whole.
    public var arrivingFrom: String?

    /// For stores, from one snapshot.
    public init(
        sequence: StreamID, newestRow: StreamID, minimum: StreamID, membershipVersion: Int, forgottenEpoch: Int,
        epochs: [InstanceName: Int], consumers: [MovedConsumer], pruned: PrunedPrefix = PrunedPrefix(),
        movedTo: String? = nil, arrivingFrom: String? = nil
    ) {
        self.pruned = pruned
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
    /// The part of what it was given that was pruned since, with the marks that those events had.
    public let pruned: DeliveredSum
    /// Its partitions, in the order of their numbers; empty where it is no processor.
    public var partitions: [MovedPartition]

    /// For stores, from one snapshot.
    public init(
        name: ConsumerName, generation: Int, position: StreamID, delivered: DeliveredSum?, passed: Delivered?,
        start: StreamID = 0, filter: EventFilter = .all, pruned: DeliveredSum = DeliveredSum(),
        partitions: [MovedPartition] = []
    ) {
        self.pruned = pruned
        self.partitions = partitions
        self.start = start
        self.filter = filter
        self.name = name
        self.generation = generation
        self.position = position
        self.delivered = delivered
        self.passed = passed
    }
}

/// One partition of a processor, with its checkpoint.
public struct MovedPartition: Hashable, Sendable {
    /// Its number, from 0.
    public let partition: Int
    /// The name of the hash by which events are in partitions.
    public let hash: String
    /// Its last claim, from which the other store goes on.
    public let claim: Int
    /// Everything of the partition at or below it is done.
    public let position: StreamID
    /// What was passed up to there, with the marks of the store that has it; nil where that is not known.
    public var delivered: DeliveredSum?
    /// The last event that it has passed, with its mark; nil where there is none.
    public var passed: Delivered?
    /// Where it was when it was made, or moved: what was passed is counted from there.
    public let start: StreamID
    /// The part of what was passed that was pruned since, with the marks that those events had.
    public let pruned: DeliveredSum
    /// How often events that are not passed were started, as far as that is counted.
    public let attempts: [StreamID: Int]

    /// For stores, from one snapshot.
    public init(
        partition: Int, hash: String, claim: Int, position: StreamID, delivered: DeliveredSum?, passed: Delivered?,
        start: StreamID, pruned: DeliveredSum, attempts: [StreamID: Int]
    ) {
        self.partition = partition
        self.hash = hash
        self.claim = claim
        self.position = position
        self.delivered = delivered
        self.passed = passed
        self.start = start
        self.pruned = pruned
        self.attempts = attempts
    }
}

/// A key that lost events to pruning.
public struct PrunedKey: Hashable, Sendable {
    /// Byte for byte.
    public let key: String
    /// The newest of its events that was pruned.
    public let newest: StreamID

    /// For stores.
    public init(_ key: String, newest: StreamID) {
        self.key = key
        self.newest = newest
    }

    /// Swift's `==` equates texts of different bytes.
    public static func == (one: PrunedKey, other: PrunedKey) -> Bool {
        one.newest == other.newest && one.key.utf8.elementsEqual(other.key.utf8)
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
        /// What pruning has left of an event: its id and its key.
        case pruned(id: String, key: String?)
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

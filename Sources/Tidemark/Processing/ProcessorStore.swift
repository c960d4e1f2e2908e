/// A processor of a stream.
public struct ProcessorName: Hashable, Sendable, CustomStringConvertible {
    /// The stream that it reads.
    public let stream: StreamName
    /// The name under which its places are kept.
    public let consumer: ConsumerName

    /// Nothing is looked up.
    public init(_ consumer: ConsumerName, of stream: StreamName) {
        self.consumer = consumer
        self.stream = stream
    }

    public var description: String { "\(consumer) of stream \(stream)" }
}

/// A store that keeps what processors need: claims and positions of partitions, the heartbeats of the processes, parked events.
///
/// It keeps these rules:
///
/// - What a partition's owner writes names its claim, and is written only while that claim is the newest.
/// - A partition is claimed only if, in the same transaction, it still is what was observed: its claim, its owner, and unless
///   that one's process is gone or nobody owns it, the owner's heartbeat.
/// - The position of a partition is only raised, but for a move by hand. The consumer's position is the least of them, in the
///   same transaction.
/// - What is parked is copied in the transaction that passes it.
public protocol ProcessorStore: EventStore {
    /// Makes a processor of a consumer that is none yet, with partitions that begin at its checkpoint; whoever reads under its
    /// name is stopped.
    ///
    /// - Parameter filter: that of the consumer.
    /// - Throws: ``TidemarkError/partitionsDiffer(stream:consumer:found:asked:)``,
    ///   ``TidemarkError/filterDiffers(stream:consumer:stored:)``,
    ///   ``TidemarkError/unknownConsumer(stream:consumer:known:)``.
    func openProcessor(_ processor: ProcessorName, filter: EventFilter, partitions: Int) async throws
    /// Writes the heartbeat of a process, and reads those of all and the partitions, in one transaction.
    ///
    /// - Throws: ``TidemarkError/unknownConsumer(stream:consumer:known:)`` where there is no such processor any more.
    func beat(_ beat: ProcessorBeat, of processor: ProcessorName) async throws -> ProcessorLook
    /// Claims those partitions that still are what was observed.
    ///
    /// - Throws: ``TidemarkError/databaseWentBackwards(stream:id:problem:)`` where a position is above the sequence, or what
    ///   was passed is not there.
    func claimPartitions(
        _ observed: [PartitionObservation], of processor: ProcessorName, by process: ProcessorProcess
    ) async throws -> [ProcessorMachine.Claimed]
    /// Moves partitions on, parks what is to be parked, and gives back what is to be given back, in one transaction; for each
    /// of them whether its claim was the newest, and it was done. A partition that is below where its passage begins has lost what
    /// was passed: it is left as it is, and the claim taken for over.
    ///
    /// - Throws: ``TidemarkError/databaseWentBackwards(stream:id:problem:)``.
    func checkpoint(_ checkpoints: [ProcessorMachine.Checkpoint], of processor: ProcessorName) async throws -> [Bool]
    /// Counts one more start of each event, durably, and returns how often each was started; nil where the claim is not the
    /// newest. The counts go when their events are passed.
    func countStarts(_ counts: [ProcessorMachine.Count], of processor: ProcessorName) async throws -> [[StreamID: Int]?]
    /// The process ends: what it owns still is free at once, as after the process has gone. It is an unclean end for these.
    func leaveProcessor(_ processor: ProcessorName, process: ProcessorProcess) async throws

    // MARK: What is parked

    /// The parked events that are to be tried again, of a partition that is owned under this claim, ascending. Their mark is
    /// taken away durably before, so that one that ends the process is not tried again and again.
    func takeRetries(
        partition: Int, claim: Int, of processor: ProcessorName, limit: Int
    ) async throws -> [ParkedEvent]
    /// Writes what became of them: those that were handled are removed, and what was parked behind one of them is to be tried
    /// next. Others stay parked. What another claim owns is left alone.
    func endRetries(_ endings: [ProcessorMachine.LateEnding], of processor: ProcessorName) async throws
    /// The stream IDs of what is parked in a partition, 100,000 at most, ascending.
    func parkedIDs(partition: Int, of processor: ProcessorName) async throws -> [StreamID]
    /// What is parked, ascending, from the first above `id`.
    ///
    /// - Throws: ``TidemarkError/unknownStream(stream:store:)``,
    ///   ``TidemarkError/unknownConsumer(stream:consumer:known:)``.
    func parkedEvents(of processor: ProcessorName, after id: StreamID, limit: Int) async throws -> [ParkedEvent]
    /// Marks parked events to be tried again, all where none are named; how many.
    ///
    /// - Throws: ``TidemarkError/notParked(stream:consumer:ids:)``, and then none is marked; what
    ///   ``parkedEvents(of:after:limit:)`` throws.
    func retryParked(_ ids: [StreamID]?, of processor: ProcessorName) async throws -> Int
    /// Removes parked events, all where none are named; how many. What was parked behind one of them is to be tried next.
    ///
    /// - Throws: as ``retryParked(_:of:)``.
    func dropParked(_ ids: [StreamID]?, of processor: ProcessorName) async throws -> Int
}

/// A sign of life of a process that runs a processor.
public struct ProcessorBeat: Hashable, Sendable {
    /// The process that lives.
    public let process: ProcessorProcess
    /// Processes that are gone, as they were observed: their rows are removed where they still are so.
    public var forgetting: [ProcessSighting]
    /// The oldest handler of each partition, for people.
    public var oldest: [OldestHandler]

    /// For a processor, at each of its heartbeats.
    public init(process: ProcessorProcess, forgetting: [ProcessSighting] = [], oldest: [OldestHandler] = []) {
        self.process = process
        self.forgetting = forgetting
        self.oldest = oldest
    }
}

/// The handler of a partition that has run for longest.
public struct OldestHandler: Hashable, Sendable {
    /// The number of the partition, from 0.
    public let partition: Int
    /// The event that it handles.
    public let id: StreamID
    /// For how long it has run.
    public let milliseconds: Int64

    /// For a processor, which measures it on its own clock.
    public init(partition: Int, id: StreamID, milliseconds: Int64) {
        self.partition = partition
        self.id = id
        self.milliseconds = milliseconds
    }
}

/// What the database showed with a heartbeat.
public struct ProcessorLook: Hashable, Sendable {
    /// The processes that run the processor, the one that asks among them.
    public let processes: [ProcessSighting]
    /// All partitions, with their owners.
    public let partitions: [PartitionSighting]

    /// For stores, from one snapshot.
    public init(processes: [ProcessSighting], partitions: [PartitionSighting]) {
        self.processes = processes
        self.partitions = partitions
    }
}

/// A copy of an event that a processor has passed without handling it.
public struct ParkedEvent: Hashable, Sendable {
    /// Nil where the event is in a table of the user's own: then only its place is known.
    public let event: PersistedEvent?
    /// The event's place where it is in a table of the user's own; otherwise nil.
    public let externalEvent: ExternalEvent?
    /// The number of the partition that its key belongs to.
    public let partition: Int
    /// Why it was put aside.
    public let reason: ParkedReason
    /// How often its handler was called.
    public let attempts: Int
    /// What went wrong last.
    public let problem: String
    /// When it was parked, in milliseconds since 1970-01-01 UTC by the wall clock of who did; for people.
    public let parkedAtMilliseconds: Int64
    /// Whether it is marked to be tried again.
    public let isToBeRetried: Bool

    /// Its place in the stream.
    public var streamID: StreamID { event?.streamID ?? externalEvent?.streamID ?? 0 }

    /// For stores, of an event that they have.
    public init(
        event: PersistedEvent, partition: Int, reason: ParkedReason, attempts: Int, problem: String,
        parkedAtMilliseconds: Int64, isToBeRetried: Bool
    ) {
        self.init(
            event, nil, partition: partition, reason: reason, attempts: attempts, problem: problem,
            parkedAtMilliseconds: parkedAtMilliseconds, isToBeRetried: isToBeRetried)
    }

    /// For stores, of an event in a table of the user's own.
    public init(
        externalEvent: ExternalEvent, partition: Int, reason: ParkedReason, attempts: Int, problem: String,
        parkedAtMilliseconds: Int64, isToBeRetried: Bool
    ) {
        self.init(
            nil, externalEvent, partition: partition, reason: reason, attempts: attempts, problem: problem,
            parkedAtMilliseconds: parkedAtMilliseconds, isToBeRetried: isToBeRetried)
    }

    private init(
        _ event: PersistedEvent?, _ externalEvent: ExternalEvent?, partition: Int, reason: ParkedReason, attempts: Int,
        problem: String, parkedAtMilliseconds: Int64, isToBeRetried: Bool
    ) {
        self.event = event
        self.externalEvent = externalEvent
        self.partition = partition
        self.reason = reason
        self.attempts = attempts
        self.problem = problem
        self.parkedAtMilliseconds = parkedAtMilliseconds
        self.isToBeRetried = isToBeRetried
    }
}

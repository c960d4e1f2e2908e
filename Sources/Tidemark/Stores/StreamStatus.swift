/// What the database says about a stream, for people.
public struct StreamStatus: Hashable, Sendable {
    /// One instance that has joined, and was not forgotten.
    public struct WriterStatus: Hashable, Sendable {
        /// The instance with its newest epoch.
        public let writer: Writer
        /// Whether readers count it. A writer that left, or was retired, is none.
        public let isMember: Bool
        /// The durable position.
        public let position: StreamID
        /// Whether its durable position was raised by somebody else since its last heartbeat.
        public let isClosed: Bool
        /// How many IDs it had in flight at its last heartbeat.
        public let inFlight: Int
        /// The lowest of them; nil when there was none.
        public let lowestInFlight: StreamID?
        /// For how long the lowest ID had been in flight, by now.
        public let inFlightMilliseconds: Int64?
        /// By the wall clock, and 0 where that was put back.
        public let heartbeatAgeMilliseconds: Int64
        /// The process that joined; nil where the store does not know it.
        public let processID: Int32?
        /// Whether the operating system says of a member that its process is gone; false where it cannot tell.
        public let isProcessGone: Bool

        /// For stores, from one snapshot.
        public init(
            writer: Writer, isMember: Bool, position: StreamID, isClosed: Bool, inFlight: Int,
            lowestInFlight: StreamID?, inFlightMilliseconds: Int64?, heartbeatAgeMilliseconds: Int64, processID: Int32?,
            isProcessGone: Bool = false
        ) {
            self.writer = writer
            self.isMember = isMember
            self.position = position
            self.isClosed = isClosed
            self.inFlight = inFlight
            self.lowestInFlight = lowestInFlight
            self.inFlightMilliseconds = inFlightMilliseconds
            self.heartbeatAgeMilliseconds = heartbeatAgeMilliseconds
            self.processID = processID
            self.isProcessGone = isProcessGone
        }
    }

    /// One consumer.
    public struct ConsumerStatus: Hashable, Sendable {
        /// The name under which it keeps its place.
        public let name: ConsumerName
        /// Its checkpoint: everything at or below it was handled, or was passed over by a filter or by hand.
        public let position: StreamID
        /// How long ago it was moved, by now; nil where that is not known.
        public let movedMillisecondsAgo: Int64?
        /// Whether the process that claimed it last still has its store open, as far as that can be told.
        public let isInUse: Bool
        /// The process that claimed it last.
        public let processID: Int32?
        /// Where it began, or was moved to.
        public let start: StreamID
        /// Which events it is given.
        public let filter: EventFilter
        /// How many events it has parked. They are counted up to ``mostParked``.
        public let parked: Int
        /// Its partitions, in the order of their numbers; empty where it is no processor.
        public let partitions: [PartitionStatus]

        /// Up to how many parked events are counted: a status that is asked for often must not read all of them.
        public static let mostParked = 100_000

        /// For stores, from one snapshot.
        public init(
            name: ConsumerName, position: StreamID, movedMillisecondsAgo: Int64? = nil, isInUse: Bool = false,
            processID: Int32? = nil, start: StreamID = 0, filter: EventFilter = .all, parked: Int = 0,
            partitions: [PartitionStatus] = []
        ) {
            self.start = start
            self.filter = filter
            self.parked = parked
            self.partitions = partitions
            self.name = name
            self.position = position
            self.movedMillisecondsAgo = movedMillisecondsAgo
            self.isInUse = isInUse
            self.processID = processID
        }
    }

    /// One partition of a processor.
    public struct PartitionStatus: Hashable, Sendable {
        /// Its number, from 0.
        public let partition: Int
        /// Everything of the partition at or below it is done.
        public let position: StreamID
        /// The process that has it, as the processor knows it; nil where nobody has.
        public let owner: ProcessorProcess?
        /// That process, as the operating system knows it; nil where nobody has the partition, or its process has left.
        public let processID: Int32?
        /// The event whose handler had run for longest at the owner's last heartbeat; nil where none ran.
        public let oldestHandler: StreamID?
        /// For how long it has run, by now, if it has not ended since. By the wall clock, and 0 where that was put back.
        public let handlerMilliseconds: Int64?

        /// For stores, from one snapshot.
        public init(
            partition: Int, position: StreamID, owner: ProcessorProcess? = nil, processID: Int32? = nil,
            oldestHandler: StreamID? = nil, handlerMilliseconds: Int64? = nil
        ) {
            self.partition = partition
            self.position = position
            self.owner = owner
            self.processID = processID
            self.oldestHandler = oldestHandler
            self.handlerMilliseconds = handlerMilliseconds
        }
    }

    /// What a store keeps beside the database until it is moved into it.
    public struct LogStatus: Hashable, Sendable {
        /// The size of the log's file, in bytes.
        public let bytes: Int64
        /// The processes that read an old state of the database, so that nothing can be moved: "process 4711 (sqlite3)".
        /// Empty where nobody does, where that cannot be told, and while the log is small.
        public let keptBy: [String]

        /// For stores.
        public init(bytes: Int64, keptBy: [String]) {
            self.bytes = bytes
            self.keptBy = keptBy
        }
    }

    /// A transaction that has a lock for which others wait: a writer's, so that what excludes the writer's transactions does; or
    /// a table's, so that everybody does.
    public struct Blocker: Hashable, Sendable, CustomStringConvertible {
        /// What waits for it, where somebody wants it.
        public enum Waiting: String, Hashable, Sendable, CaseIterable {
            /// To join under the writer's name, to leave, to be closed or retired.
            case closing
            /// To find out what became of a group whose commit was not answered.
            case settling
            /// To look at the stream.
            case reading
            /// To write anything.
            case writing
        }

        /// The writer whose lock it has; nil where it is in everybody's way.
        public let instance: InstanceName?
        /// What its lock is in the way of.
        public let holdsUp: Set<Waiting>
        /// Who it is: "backend 4711 of role app (psql), idle in transaction"; or a prepared transaction by its name.
        public let holder: String
        /// The server's process; nil for a prepared transaction.
        public let processID: Int64?
        /// The name of a prepared transaction, which only somebody who knows it can end.
        public let prepared: String?
        /// For how long its transaction has been open, where that is known.
        public let milliseconds: Int64?
        /// How many wait for it now.
        public let waiting: Int

        /// For stores.
        public init(
            instance: InstanceName?, holdsUp: Set<Waiting>, holder: String, processID: Int64?, prepared: String?,
            milliseconds: Int64?, waiting: Int
        ) {
            self.instance = instance
            self.holdsUp = holdsUp
            self.holder = holder
            self.processID = processID
            self.prepared = prepared
            self.milliseconds = milliseconds
            self.waiting = waiting
        }

        /// One line for people: who is in the way, of what, and since when.
        public var description: String {
            let age = milliseconds.map { ", for \($0) ms" } ?? ""
            let things = Waiting.allCases.filter(holdsUp.contains).map(\.rawValue).joined(separator: " and ")
            let waiters = waiting > 0 ? ", which \(waiting) wait\(waiting == 1 ? "s" : "") for" : ""
            let whom = instance.map { " \($0)" } ?? ", whoever does"
            return "\(holder)\(age): in the way of \(things)\(whom)\(waiters)"
        }
    }

    /// The stream that it is about.
    public let stream: StreamName
    /// The newest ID of the sequence.
    public let sequence: StreamID
    /// The newest event, 0 when there is none.
    public let newestEvent: StreamID
    /// What can be said from the durable positions and the rows alone; a running reader may know of a higher one.
    public let minimumPersisted: StreamID
    /// The members; and those that left, where they were asked for.
    public let writers: [WriterStatus]
    /// How many writers have left and were not forgotten.
    public let leftCount: Int
    /// All consumers of the stream.
    public let consumers: [ConsumerStatus]
    /// Who has the one lock that a write needs, "instance p1 (process 4711)", while the heartbeat of a member is missing
    /// for ``silence``; nil where nobody has it, or that cannot be told.
    public let writeLockHolder: String?
    /// Transactions that stand in the way of what others do, or soon would: those that others wait for, that were prepared,
    /// or that have been open for a second. The oldest first; 20 at most.
    public let blockers: [Blocker]
    /// Nil where the store has none.
    public let log: LogStatus?
    /// How far the stream's index of keys has come.
    public let keyIndex: KeyIndexState
    /// How far the stream was pruned; 0 where it has its beginning.
    public let prunedThrough: StreamID

    /// For stores, from one snapshot.
    public init(
        stream: StreamName, sequence: StreamID, newestEvent: StreamID, minimumPersisted: StreamID,
        writers: [WriterStatus], consumers: [ConsumerStatus], writeLockHolder: String? = nil, log: LogStatus? = nil,
        leftCount: Int = 0, blockers: [Blocker] = [], keyIndex: KeyIndexState = .missing, prunedThrough: StreamID = 0
    ) {
        self.stream = stream
        self.sequence = sequence
        self.newestEvent = newestEvent
        self.minimumPersisted = minimumPersisted
        self.writers = writers
        self.consumers = consumers
        self.writeLockHolder = writeLockHolder
        self.log = log
        self.leftCount = leftCount
        self.blockers = blockers
        self.keyIndex = keyIndex
        self.prunedThrough = prunedThrough
    }
}

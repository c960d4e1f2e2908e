/// What the database says about a stream, for people.
public struct StreamStatus: Hashable, Sendable {
    /// One instance that has joined, and was not forgotten.
    public struct WriterStatus: Hashable, Sendable {
        public let writer: Writer
        public let isMember: Bool
        /// The durable position.
        public let position: StreamID
        /// Whether its durable position was raised by somebody else since its last heartbeat.
        public let isClosed: Bool
        public let inFlight: Int
        public let lowestInFlight: StreamID?
        /// For how long the lowest ID had been in flight, by now.
        public let inFlightMilliseconds: Int64?
        /// By the wall clock, and 0 where that was put back.
        public let heartbeatAgeMilliseconds: Int64
        public let processID: Int32?
        /// Whether the operating system says of a member that its process is gone; false where it cannot tell.
        public let isProcessGone: Bool

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

    public struct ConsumerStatus: Hashable, Sendable {
        public let name: ConsumerName
        public let position: StreamID
        /// How long ago it was moved, by now; nil where that is not known.
        public let movedMillisecondsAgo: Int64?
        /// Whether the process that claimed it last still has its store open, as far as that can be told.
        public let isInUse: Bool
        /// The process that claimed it last.
        public let processID: Int32?

        public init(
            name: ConsumerName, position: StreamID, movedMillisecondsAgo: Int64? = nil, isInUse: Bool = false,
            processID: Int32? = nil
        ) {
            self.name = name
            self.position = position
            self.movedMillisecondsAgo = movedMillisecondsAgo
            self.isInUse = isInUse
            self.processID = processID
        }
    }

    /// What a store keeps beside the database until it is moved into it.
    public struct LogStatus: Hashable, Sendable {
        public let bytes: Int64
        /// The processes that read an old state of the database, so that nothing can be moved: "process 4711 (sqlite3)".
        /// Empty where nobody does, where that cannot be told, and while the log is small.
        public let keptBy: [String]

        public init(bytes: Int64, keptBy: [String]) {
            self.bytes = bytes
            self.keptBy = keptBy
        }
    }

    public let stream: StreamName
    public let sequence: StreamID
    public let newestEvent: StreamID
    /// What can be said from the durable positions and the rows alone; a running reader may know of a higher one.
    public let minimumPersisted: StreamID
    /// The members; and those that left, where they were asked for.
    public let writers: [WriterStatus]
    /// How many writers have left and were not forgotten.
    public let leftCount: Int
    public let consumers: [ConsumerStatus]
    /// Who has the one lock that a write needs, "instance p1 (process 4711)", while the heartbeat of a member is missing
    /// for ``silence``; nil where nobody has it, or that cannot be told.
    public let writeLockHolder: String?
    /// Nil where the store has none.
    public let log: LogStatus?

    public init(
        stream: StreamName, sequence: StreamID, newestEvent: StreamID, minimumPersisted: StreamID,
        writers: [WriterStatus], consumers: [ConsumerStatus], writeLockHolder: String? = nil, log: LogStatus? = nil,
        leftCount: Int = 0
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
    }
}

/// What the database says about a stream, for people.
public struct StreamStatus: Hashable, Sendable {
    /// One instance that has ever joined.
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
        public let heartbeatAgeMilliseconds: Int64
        public let processID: Int32?

        public init(
            writer: Writer, isMember: Bool, position: StreamID, isClosed: Bool, inFlight: Int,
            lowestInFlight: StreamID?, inFlightMilliseconds: Int64?, heartbeatAgeMilliseconds: Int64, processID: Int32?
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

    public let stream: StreamName
    public let sequence: StreamID
    public let newestEvent: StreamID
    /// What can be said from the durable positions and the rows alone; a running reader may know of a higher one.
    public let minimumPersisted: StreamID
    public let writers: [WriterStatus]
    public let consumers: [ConsumerStatus]

    public init(
        stream: StreamName, sequence: StreamID, newestEvent: StreamID, minimumPersisted: StreamID,
        writers: [WriterStatus], consumers: [ConsumerStatus]
    ) {
        self.stream = stream
        self.sequence = sequence
        self.newestEvent = newestEvent
        self.minimumPersisted = minimumPersisted
        self.writers = writers
        self.consumers = consumers
    }
}

extension ProcessorMachine {
    /// What is handled one after the other.
    public enum Order: Hashable, Sendable {
        /// The events of one key.
        case key
        /// All events of one partition: its checkpoint can move with each of them.
        case partition
    }

    /// What becomes of an event whose attempts are used up.
    public enum WhenExhausted: Hashable, Sendable {
        /// It is parked, and later events of its key go on.
        case park
        /// It is parked, and later events of its key behind it, up to so many together; with one more the processor stops, and
        /// where more than 80,000 events of a partition are parked.
        case parkAndHoldKey(limit: Int)
        /// The processor stops.
        case stop
    }

    /// How a processor works in one process.
    public struct Configuration: Hashable, Sendable {
        /// How many handlers run at once.
        public var concurrency = 8
        /// Into how many parts the keys are split.
        public var partitions = 16
        /// In which order events are handled.
        public var order = Order.key
        /// Events of one partition between its durable checkpoint and what was read.
        public var windowEvents = 10_000
        /// Bytes of payload of events of one partition that are not done.
        public var windowBytes = 4 << 20
        /// How often a handler is called for one event before its attempts are used up.
        public var maximumAttempts = 5
        /// About how long it takes from the first attempt to the second; twice as long after each other.
        public var shortestDelay = Duration.milliseconds(100)
        /// The longest time from one attempt to the next.
        public var longestDelay = Duration.seconds(60)
        /// What becomes of an event whose attempts are used up.
        public var whenExhausted = WhenExhausted.park
        /// Where keys are held: parked events of one partition, of all keys. With a window they are fewer than a store lists.
        public var mostHeld = 80_000
        /// How long a handler may run; nil: as long as it likes.
        public var timeLimit: Duration?
        /// An owner whose heartbeat was not confirmed for so long starts nothing more.
        public var confirmationLimit = Duration.seconds(3)

        /// The defaults.
        public init() {}
    }

    /// What the database says when a partition is claimed.
    public struct Claimed: Hashable, Sendable {
        /// The number of the partition, from 0.
        public let partition: Int
        /// The fencing number: grows with each claim.
        public let claim: Int
        /// Everything of the partition at or below it is done.
        public let position: StreamID
        /// What was passed up to there; nil where that is not known.
        public let delivered: DeliveredSum?
        /// The last event at or below the position; nil where there is none.
        public let passed: Delivered?
        /// Where the one before did not give it back: the newest ID of the sequence. Up to there its handlers may have been
        /// under way. Nil after an orderly end.
        public let uncleanThrough: StreamID?
        /// Of events that are not passed: how often they were started after an unclean end.
        public let attempts: [StreamID: Int]
        /// How many parked events a store gives with a claim at most.
        public static let mostHeld = 100_000
        /// What is parked of each key, by the key's UTF-8.
        public let held: [[UInt8]: [StreamID]]

        /// For stores, from the transaction that wrote the claim down.
        public init(
            partition: Int, claim: Int, position: StreamID, delivered: DeliveredSum?, passed: Delivered?,
            uncleanThrough: StreamID?, attempts: [StreamID: Int] = [:], held: [[UInt8]: [StreamID]] = [:]
        ) {
            self.partition = partition
            self.claim = claim
            self.position = position
            self.delivered = delivered
            self.passed = passed
            self.uncleanThrough = uncleanThrough
            self.attempts = attempts
            self.held = held
        }
    }

    /// A handler to be called.
    public struct Start: Hashable, Sendable {
        /// Names this run.
        public let run: Int
        /// The number of the partition.
        public let partition: Int
        /// The claim that the run belongs to: what becomes of it counts for no other.
        public let claim: Int
        /// The event that is handled.
        public let id: StreamID
        /// 1 for the first time.
        public let attempt: Int
        /// Whether it was parked before.
        public let isLate: Bool
        /// What the partition's checkpoint says once it is handled; nil unless the order is that of partitions.
        public let passage: Passage?
    }

    /// How a run has ended.
    public enum Ending: Hashable, Sendable {
        /// The handler returned.
        case succeeded
        /// And the passage that it was given is in the database.
        case succeededDurably
        /// - Parameter problem: what it threw.
        case failed(String)
    }

    /// What may be read next.
    public struct Read: Hashable, Sendable {
        /// Events above this ID.
        public let after: StreamID
        /// An event at or below it that was there.
        public let passed: Delivered?
    }

    /// How far a partition has come, to be written down.
    public struct Checkpoint: Hashable, Sendable {
        /// The number of the partition.
        public let partition: Int
        /// The claim that it is for. Where it is the newest no more, nothing is written.
        public let claim: Int
        /// Nil where it says nothing new, and the partition is only given back.
        public let passage: Passage?
        /// Whether the partition is given back with it.
        public let releases: Bool

        /// For the machine, and for tests of stores.
        public init(partition: Int, claim: Int, passage: Passage?, releases: Bool) {
            self.partition = partition
            self.claim = claim
            self.passage = passage
            self.releases = releases
        }
    }

    /// Events that are about to be started: to be counted durably before.
    public struct Count: Hashable, Sendable {
        /// The number of the partition.
        public let partition: Int
        /// The claim that it is for.
        public let claim: Int
        /// The events, of the partition.
        public let ids: [StreamID]

        /// For the machine, and for tests of stores.
        public init(partition: Int, claim: Int, ids: [StreamID]) {
            self.partition = partition
            self.claim = claim
            self.ids = ids
        }
    }

    /// What became of a parked event that was tried again.
    public struct LateEnding: Hashable, Sendable {
        /// The number of the partition.
        public let partition: Int
        /// The claim that it is for.
        public let claim: Int
        /// The event that was parked.
        public let id: StreamID
        /// Why it stays parked; nil where it was handled.
        public let note: ParkingNote?

        /// For the machine, and for tests of stores.
        public init(partition: Int, claim: Int, id: StreamID, note: ParkingNote?) {
            self.partition = partition
            self.claim = claim
            self.id = id
            self.note = note
        }
    }

    /// Why the processor stops.
    public enum Failure: Hashable, Sendable {
        /// The attempts of an event are used up, and the configuration says to stop then.
        case exhausted(ParkingNote)
        /// More events of one key, or of one partition, are parked than may be; the ID is that of the newest of them.
        case tooManyHeld(StreamID, limit: Int)
    }
}

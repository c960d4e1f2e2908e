/// What a simulation simulates. Everything that is not set here follows from the seed.
public struct SimulationConfiguration: Sendable {
    /// A rule that can be switched off, to see that the simulator finds what then goes wrong.
    public enum Rule: String, CaseIterable, Hashable, Sendable {
        /// Rule 1: announcements bind the epoch that made them. Off: they count for whoever has the name now.
        case epochOfAnnouncements
        /// Rule 1: announcements are of one life of one writer in one database. Off: any sender with the name and the epoch
        /// is heard.
        case nonces
        /// Rule 1: what is heard is bounded by the sequence. Off: whatever is said counts.
        case boundedHearing
        /// Rule 2: only durably allocated IDs are known. Off: an ID is known as soon as it was handed out.
        case durableBeforeKnown
        /// Rule 3: a fetch in progress counts as in flight. Off: it does not.
        case floor
        /// Rule 3: an ID of an earlier incarnation is void. Off: it is finished like any other that was abandoned.
        case incarnation
        /// Rule 3: a void ID does not become known. Off: it does.
        case voidIsNotKnown
        /// Rule 4: only the newest epoch of a member commits.
        case epochCheck
        /// Rule 4: nothing commits at or below its writer's durable position.
        case durablePositionCheck
        /// Rule 4: nothing commits where a tombstone is.
        case tombstoneCheck
        /// Rule 4: nothing commits under an ID of an earlier incarnation.
        case incarnationCheck
        /// Nothing is pruned above a durable position, or a consumer's place. Off: it is.
        case pruningBelowPositions
        /// A checkpoint in a transaction of the user's own moves only from where the batch begins. Off: from anywhere.
        case checkpointBeginning
        /// Rule 4: an epoch is one of the incarnation in which its writer joined. Off: the same number will do. Only with
        /// promotions.
        case incarnationOfJoin
        /// A partition of a processor is claimed only if it still is what was observed. Off: whatever has become of it.
        case claimCompared
        /// A checkpoint of a processor goes to just below the lowest event that is not done. Off: to the highest that is.
        case lowestNotDone
        /// A checkpoint of a processor names the one before it, and a claim is over where that is lost. Off: nobody looks at that.
        /// Only with promotions.
        case checkpointBefore
        /// Rule 5: a failed commit may still happen. Off: failing counts as having been rolled back.
        case onlyTheDatabaseKnows
        /// Rule 5: a group that the database gets after it was settled is refused. Off: it is committed.
        case fence
        /// Rule 7: a batch is of the membership version that its watermark was computed with.
        case membershipVersion
        /// Rule 7: the watermark is computed before the snapshot is opened. Off: after it.
        case watermarkBeforeSnapshot
        /// Rule 7: a process that has passed or knows IDs that a later incarnation hands out again gets an error. Off: nobody
        /// looks where eras begin. Only with promotions.
        case eras
        /// Rule 7: the versions of the members rise by steps that nobody can foresee, and jump when an incarnation begins, so that no
        /// two lives have the same ones. Off: they are counted. Only with promotions.
        case versionJump
        /// Rule 8: a position says nothing about the ID that it names. Off: it says that the ID is finished.
        case positionsAreNotRows
        /// In a stream with an index of keys: an event commits only above the newest of its key, and on a condition only where
        /// that is the one expected. Off: nobody compares it.
        case newestOfKey

        /// What goes wrong without it.
        var failure: SimulationFailure.Kind {
            switch self {
            case .newestOfKey: .keyHistory
            case .checkpointBeginning: .appliedTwice
            case .claimCompared: .twoHandlersOfOneKey
            case .lowestNotDone, .checkpointBefore: .passedUnhandled
            default: .skippedEvent
            }
        }
    }

    /// What allocates IDs.
    public enum Database: String, CaseIterable, Hashable, Sendable {
        /// An ID is durable once it was handed out, and a group's are allocated by the transaction that commits it.
        case durableSequence
        /// An ID becomes durable with the next commit of anybody, so that a crash takes the sequence back over it; it
        /// is gone from the sequence at once, whatever becomes of the transaction.
        case sequenceMadeDurableByCommits
    }

    /// What a simulation looks for.
    public enum Mode: String, CaseIterable, Hashable, Sendable {
        /// Faults until the end: nothing bad ever happens.
        case safety
        /// Then the faults stop: what is good happens in time.
        case liveness
    }

    /// What is looked for: by default what must never happen.
    public var mode: Mode
    /// The kind of database; nil leaves it to the seed.
    public var database: Database?
    /// The rule that is taken away, to see what it is good for; nil: all of them hold.
    public var withoutRule: Rule?
    /// Each reader has its own copy of this consumer, which gets the reader's batches.
    public var consumer: (any SimulationConsumer)?
    /// Whether the history is kept as text, too, for people.
    public var recordsHistory: Bool
    /// Whether a copy that lags may take over for a database whose sequence commits make durable, while processes run. What it
    /// lacks is lost, and a process that knows something of that has to notice. Keys, pruning, consumers and processors are beside it
    /// as elsewhere. A seed's history is another one then. Not with a consumer of one's own, which would know of what is lost.
    public var promotes: Bool
    /// Steps of a seed, before the faults stop.
    public var steps: Int
    /// No more IDs than about this many are handed out, so that steps stay cheap.
    public var maximumIDs: Int

    /// A run of 500 steps with at most 50 IDs, and no history.
    public init(mode: Mode = .safety, database: Database? = nil, withoutRule: Rule? = nil) {
        self.mode = mode
        self.database = database
        self.withoutRule = withoutRule
        recordsHistory = false
        promotes = false
        steps = 500
        maximumIDs = 50
    }

    /// How long the writers and readers of the simulation wait, on its own clock.
    enum Timing {
        static let heartbeat = Duration.seconds(1)
        static let timeout = Duration.seconds(5)
        static let retirement = Duration.seconds(600)
        static let reconcile = Duration.seconds(1)
        static let stall = Duration.milliseconds(250)
        /// The time limit of a scope or a fetch.
        static let limit = Duration.milliseconds(200)
        /// Within which the minimum reaches the newest event once the faults have stopped.
        static let bound = timeout + heartbeat + reconcile
    }
}

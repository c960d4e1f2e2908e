/// What one persist transaction is asked to commit.
public struct EventGroup: Hashable, Sendable {
    /// The stream, one for the whole group.
    public let stream: StreamName
    /// The writer that commits it.
    public let writer: Writer
    /// The events in the order in which they get their IDs.
    public let events: [Event]
    /// The highest ID that the writer knows. The sequence must not be below it.
    public let known: StreamID
    /// The writer's fence, as it knows it: where the database has raised it since, the group is refused.
    public let fence: Int64
    /// The calls that the events come from, in their order. Those of one call are persisted together, or not at all.
    public let calls: [Call]

    /// One call of a group.
    public struct Call: Hashable, Sendable {
        /// How many of the group's events are its own.
        public let events: Int
        /// On what condition they are persisted. A store that keeps no index of keys is never asked with one.
        public let condition: KeyCondition?

        /// For the persister, and for tests of stores.
        public init(events: Int, condition: KeyCondition? = nil) {
            self.events = events
            self.condition = condition
        }
    }

    /// For the persister, and for tests of stores.
    ///
    /// - Parameter calls: have as many events together as the group; nil where they are all of one call without a condition.
    public init(
        _ events: [Event], in stream: StreamName, by writer: Writer, known: StreamID = 0, fence: Int64 = 0,
        calls: [Call]? = nil
    ) {
        self.calls = calls ?? [Call(events: events.count)]
        precondition(self.calls.reduce(0) { $0 + $1.events } == events.count, "each event is of one call")
        self.events = events
        self.stream = stream
        self.writer = writer
        self.known = known
        self.fence = fence
    }
}

extension EventGroup {
    /// Whether a call of it has a condition.
    public var hasConditions: Bool { calls.contains { $0.condition != nil } }

    /// The events of the calls that were not refused: those that the outcomes are of.
    package func events(heldBy persisted: PersistedGroup) -> [Event] {
        if persisted.refusals.isEmpty { return events }
        var rest = events[...]
        var kept: [Event] = []
        for (number, call) in calls.enumerated() {
            if persisted.refusals[number] == nil { kept += rest.prefix(call.events) }
            rest = rest.dropFirst(call.events)
        }
        return kept
    }
}

/// What became of one event of a group.
public enum PersistOutcome: Hashable, Sendable {
    /// It was written, under this ID.
    case persisted(StreamID)
    /// An event with this id was there; nothing was written, and the ID is the one that it has.
    case alreadyPersisted(StreamID)

    /// Whether the event was written now.
    public var isNew: Bool { if case .persisted = self { true } else { false } }

    /// The ID under which the event is there, whoever wrote it.
    public var streamID: StreamID {
        switch self {
        case .persisted(let id), .alreadyPersisted(let id): id
        }
    }
}

/// What a persist transaction has committed.
public struct PersistedGroup: Hashable, Sendable {
    /// In the order of the events, without those of calls that were refused.
    public let outcomes: [PersistOutcome]
    /// IDs that were handed out to the group and took no event: tombstones hold them. Readers would stand still at these
    /// gaps if nobody told them.
    public let tombstones: [StreamID]
    /// The calls of which nothing was written, by their place among the calls of the group.
    public let refusals: [Int: CallRefusal]

    /// For stores, after the commit.
    public init(outcomes: [PersistOutcome], tombstones: [StreamID] = [], refusals: [Int: CallRefusal] = [:]) {
        self.outcomes = outcomes
        self.tombstones = tombstones
        self.refusals = refusals
    }
}

/// Why nothing of a call was written, while the rest of its group was.
public enum CallRefusal: Hashable, Sendable {
    /// Its caller is told.
    case failed(TidemarkError)
    /// Another transaction holds one of its keys: it comes into a group again, before all others. The first call of a group is
    /// never left out, so that each one gets through.
    case leftOut
}

/// What became of groups whose commit was not answered.
public struct Settlement: Hashable, Sendable {
    /// What the next groups of the writer have to name.
    public let fence: Int64
    /// In the order of the groups: what was committed; nil for a group of which an event is not there, and never will be. Where
    /// its calls have conditions, others of its events may be.
    public let groups: [PersistedGroup?]

    /// For stores. There are as many groups as were asked about.
    public init(fence: Int64, groups: [PersistedGroup?]) {
        self.fence = fence
        self.groups = groups
    }
}

/// What the database says of IDs that were given up. Tombstones hold those that are in none of the lists.
public struct AbandonedIDs: Hashable, Sendable {
    /// Those that hold an event.
    public let committed: [StreamID]
    /// Those of an earlier incarnation that hold nothing. They get no tombstone, because they may be handed out again.
    public let void: [StreamID]
    /// Those that were pruned, so that it is not known whether they held an event. Nothing will appear under them.
    public let pruned: [StreamID]

    /// For stores. What is in none of the lists has a tombstone.
    public init(committed: [StreamID] = [], void: [StreamID] = [], pruned: [StreamID] = []) {
        self.committed = committed
        self.void = void
        self.pruned = pruned
    }
}

/// A store that can often commit without a wait for anything but the disk.
///
/// Where it can, a caller that is alone keeps its thread, and needs no other task: waking one takes about as long as a
/// quick disk does.
public protocol ImmediateEventStore: EventStore {
    /// The same as ``EventStore/persist(_:)``, on this thread; nil where that would have to wait for another writer, or is
    /// likely to take long. Then nothing was done.
    func persistImmediately(_ group: EventGroup) throws -> PersistedGroup?
}

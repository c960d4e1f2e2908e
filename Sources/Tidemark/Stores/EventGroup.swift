/// What one persist transaction is asked to commit.
public struct EventGroup: Hashable, Sendable {
    /// The stream, one for the whole group.
    public let stream: StreamName
    /// Who commits it.
    public let writer: Writer
    /// The events in the order in which they get their IDs.
    public let events: [Event]
    /// The highest ID that the writer knows. The sequence must not be below it.
    public let known: StreamID
    /// The writer's fence, as it knows it: where the database has raised it since, the group is refused.
    public let fence: Int64

    /// For the persister, and for tests of stores.
    public init(_ events: [Event], in stream: StreamName, by writer: Writer, known: StreamID = 0, fence: Int64 = 0) {
        self.events = events
        self.stream = stream
        self.writer = writer
        self.known = known
        self.fence = fence
    }
}

/// What became of one event of a group.
public enum PersistOutcome: Hashable, Sendable {
    /// It was written, under this ID.
    case persisted(StreamID)
    /// An event with this id was there; nothing was written, and the ID is the one that it has.
    case alreadyPersisted(StreamID)

    /// The ID under which the event is there, whoever wrote it.
    public var streamID: StreamID {
        switch self {
        case .persisted(let id), .alreadyPersisted(let id): id
        }
    }
}

/// What a persist transaction has committed.
public struct PersistedGroup: Hashable, Sendable {
    /// In the order of the events.
    public let outcomes: [PersistOutcome]
    /// IDs that were handed out to the group and took no event: tombstones hold them. Readers would stand still at these
    /// gaps if nobody told them.
    public let tombstones: [StreamID]

    /// For stores, after the commit.
    public init(outcomes: [PersistOutcome], tombstones: [StreamID] = []) {
        self.outcomes = outcomes
        self.tombstones = tombstones
    }
}

/// What became of groups whose commit was not answered.
public struct Settlement: Hashable, Sendable {
    /// What the next groups of the writer have to name.
    public let fence: Int64
    /// In the order of the groups: what was committed; nil for a group that was not, and never will be.
    public let groups: [PersistedGroup?]

    /// For stores. There are as many groups as were asked about.
    public init(fence: Int64, groups: [PersistedGroup?]) {
        self.fence = fence
        self.groups = groups
    }
}

/// What the database says of IDs that were given up. Tombstones hold those that are in neither list.
public struct AbandonedIDs: Hashable, Sendable {
    /// Those that hold an event.
    public let committed: [StreamID]
    /// Those of an earlier incarnation that hold nothing. They get no tombstone, because they may be handed out again.
    public let void: [StreamID]

    /// For stores. What is in neither list has a tombstone.
    public init(committed: [StreamID] = [], void: [StreamID] = []) {
        self.committed = committed
        self.void = void
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

#if canImport(FoundationEssentials)
public import FoundationEssentials
#else
public import Foundation
#endif
public import TidemarkCore

/// How much of a stream is to be removed: always its beginning.
public enum PruneExtent: Hashable, Sendable {
    /// Everything up to this ID.
    case through(StreamID)
    /// Everything before the first event that was persisted at this time or later, by the wall clock of its writer. What is
    /// older and comes after it stays.
    case before(Date)
    /// Everything but the newest events, so many.
    case keeping(Int)

    /// For stores: the time of ``before(_:)`` as the stores keep times, rounded up; nil for any other extent.
    package var milliseconds: Int64? {
        guard case .before(let date) = self else { return nil }
        return ConsumerStart.at(date).milliseconds
    }
}

/// What is asked of one transaction that prunes.
public struct PruneRequest: Hashable, Sendable {
    /// The stream.
    public var stream: StreamName
    /// Up to which ID, all in all.
    public var through: StreamID
    /// Consumers that are abandoned: their places hold nothing back. Their readers are stopped.
    public var ignoring: Set<ConsumerName> = []
    /// Whether the ids of the events go too.
    public var forgetsIDs = false
    /// How many rows one transaction removes at most.
    public var limit = 200

    /// With what is usual.
    public init(stream: StreamName, through: StreamID) {
        self.stream = stream
        self.through = through
    }
}

/// What one transaction has removed.
public struct PruneStep: Hashable, Sendable {
    /// How many events.
    public var events: Int
    /// How far the stream is pruned now.
    public var through: StreamID
    /// Whether nothing is left of what was asked for.
    public var isDone: Bool

    /// For stores.
    public init(events: Int, through: StreamID, isDone: Bool) {
        self.events = events
        self.through = through
        self.isDone = isDone
    }
}

/// What has become of the room that was pruned.
public struct PrunedSpace: Hashable, Sendable {
    /// How many bytes the database has given back to the system.
    public var givenBack: Int64
    /// How many are free in it, and will be used for new events.
    public var free: Int64
    /// Whether what is free can be given back in small steps.
    public var canBeGivenBack: Bool

    /// For stores.
    public init(givenBack: Int64 = 0, free: Int64 = 0, canBeGivenBack: Bool = true) {
        self.givenBack = givenBack
        self.free = free
        self.canBeGivenBack = canBeGivenBack
    }
}

/// What became of a call that prunes.
public struct PruneResult: Hashable, Sendable {
    /// How many events were removed.
    public var events: Int
    /// How far the stream is pruned now.
    public var through: StreamID
    /// What became of their room; nil where the database keeps house by itself.
    public var space: PrunedSpace?

    /// For stores, and for tests.
    public init(events: Int, through: StreamID, space: PrunedSpace? = nil) {
        self.events = events
        self.through = through
        self.space = space
    }
}

/// A store whose streams can be pruned.
///
/// What is removed is the beginning of a stream, never more than what is at or below the least durable position of all members
/// and every consumer's place: both are read in the transaction that removes. Nothing will be committed there any more, so that
/// readers pass it without rows. The ids of events stay, unless one says otherwise, so that persisting one again gives the ID that
/// it had.
public protocol PrunableStore: EventStore {
    /// Up to where an extent goes, by one snapshot; 0 where there is nothing to remove.
    ///
    /// - Throws: ``TidemarkError/unknownStream(stream:store:)``.
    func end(of extent: PruneExtent, in stream: StreamName) async throws -> StreamID
    /// Removes the beginning, in one small transaction, as far as `limit` goes.
    ///
    /// - Throws: ``TidemarkError/pruneHeldBack(stream:id:by:at:)`` where somebody is at a lower place than is asked for, and
    ///   ``TidemarkError/unknownConsumer(stream:consumer:known:)`` for one that is to be ignored: nothing was removed.
    ///   ``TidemarkError/unknownStream(stream:store:)``.
    func prune(_ request: PruneRequest) async throws -> PruneStep
    /// Gives room back, in one small transaction; nil where the database keeps house by itself. It is done where nothing was
    /// given back.
    func giveSpaceBack() async throws -> PrunedSpace?
    /// What is left of what was pruned; nil where there is no such stream.
    func pruned(of stream: StreamName) async throws -> PrunedPrefix?
}

extension PrunableStore {
    /// Nothing to do.
    public func giveSpaceBack() async throws -> PrunedSpace? { nil }

    /// Removes the beginning of a stream in small transactions, with pauses in which writers go on.
    ///
    /// Where somebody comes to a lower place meanwhile, what was removed until then stays removed.
    ///
    /// - Parameters:
    ///   - consumers: those that are abandoned: their places hold nothing back, and their readers are stopped.
    ///   - forgettingIDs: whether the ids of the events go too, also those that earlier calls have left. Persisting one of them
    ///     again makes a new event.
    /// - Throws: ``TidemarkError/pruneHeldBack(stream:id:by:at:)``, ``TidemarkError/unknownStream(stream:store:)``,
    ///   ``TidemarkError/unknownConsumer(stream:consumer:known:)``, or what the store throws; `CancellationError`, after which
    ///   what was removed stays removed.
    public func prune(
        _ stream: StreamName, _ extent: PruneExtent, ignoring consumers: Set<ConsumerName> = [],
        forgettingIDs: Bool = false
    ) async throws -> PruneResult {
        var request = PruneRequest(stream: stream, through: try await end(of: extent, in: stream))
        request.ignoring = consumers
        request.forgetsIDs = forgettingIDs
        var result = PruneResult(events: 0, through: 0)
        let pace = Pace()
        while true {
            try Task.checkCancellation()
            let step = try await pace.run { try await prune(request) }
            result.events += step.events
            result.through = step.through
            if step.isDone { break }
        }
        while let space = try await pace.run(giveSpaceBack) {
            try Task.checkCancellation()
            let before = result.space?.givenBack ?? 0
            result.space = PrunedSpace(
                givenBack: before + space.givenBack, free: space.free, canBeGivenBack: space.canBeGivenBack)
            if space.givenBack == 0 { break }
        }
        return result
    }
}

/// Leaves at least half of the time to others.
private struct Pace {
    private let clock = ContinuousClock()

    func run<Value>(_ body: () async throws -> Value) async throws -> Value {
        let began = clock.now
        let value = try await body()
        try await clock.sleep(for: min(clock.now - began, .milliseconds(100)))
        return value
    }
}

extension EventLog {
    /// Removes everything up to `id`, in small transactions that writers hardly notice. Readers below it get
    /// ``TidemarkError/pruned(stream:after:through:)`` from then on, which says where the stream begins.
    ///
    /// It goes no further than the least durable position of all writers and every consumer's place. The ids of the events
    /// stay, so that persisting one again gives the ID that it had; see ``PrunableStore/prune(_:_:ignoring:forgettingIDs:)``.
    ///
    /// - Parameter consumers: those that are abandoned: their places hold nothing back.
    /// - Throws: ``TidemarkError/pruneHeldBack(stream:id:by:at:)``, which names who is at a lower place,
    ///   ``TidemarkError/unknownConsumer(stream:consumer:known:)``, ``TidemarkError/noPruning(stream:store:)``, or what the store
    ///   throws.
    public func prune(
        through id: StreamID, ignoring consumers: Set<ConsumerName> = []
    ) async throws -> PruneResult {
        try await prune(.through(id), ignoring: consumers)
    }

    /// The same for what is too old, or too much.
    ///
    /// - Parameter forgettingIDs: whether the ids of the events go too.
    public func prune(
        _ extent: PruneExtent, ignoring consumers: Set<ConsumerName> = [], forgettingIDs: Bool = false
    ) async throws -> PruneResult {
        guard let store = store as? any PrunableStore else {
            throw TidemarkError.noPruning(stream: stream, store: store.description)
        }
        return try await store.prune(stream, extent, ignoring: consumers, forgettingIDs: forgettingIDs)
    }
}

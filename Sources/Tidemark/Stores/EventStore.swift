/// A database that keeps the events of several streams and enforces the promises of their writers.
///
/// A store keeps these rules:
///
/// - A transaction that persists commits only when its writer's epoch is the newest of that name and it is a member,
///   its IDs are above the writer's durable position and of this incarnation, no row holds them, and the fence that the
///   group names is the newest.
/// - Joining, leaving and retiring raise the membership version in their own transaction.
/// - Durable positions are only ever raised.
/// - What is read together is read in one snapshot of the primary database, opened after the call.
///
/// Errors are ``TidemarkError`` where they have a cause that a caller can tell apart.
public protocol EventStore: Sendable, CustomStringConvertible {
    /// How soon the database is asked again while the minimum stands still and something above it is known. 250 ms by
    /// default.
    var standstillInterval: Duration { get }
    /// How the instances of a stream hear each other where nothing else is named; nil, which is the default, where the
    /// database carries nothing but events.
    func ownTransport(for stream: StreamName) -> (any ReplicationTransport)?

    // MARK: Membership

    /// Makes the stream where it is missing, and the instance a member with the next epoch, whose durable position is
    /// the sequence's newest ID. A store whose sequence can go back begins an incarnation where it did.
    ///
    /// - Parameter nonce: random, not 0, and kept with the member. A caller whose answer was lost asks again with the same one,
    ///   and gets the epoch that it has by now, and not another. A call that the database gets late, when another process has
    ///   joined meanwhile, changes nothing.
    func join(_ stream: StreamName, as instance: InstanceName, nonce: Int64) async throws -> Joined
    /// The same for a writer whose epoch is over, and only if no newer epoch of its name is a member.
    ///
    /// - Parameter nonce: as in ``join(_:as:nonce:)``.
    /// - Throws: ``TidemarkError/instanceTaken(stream:writer:by:)`` when one is.
    func rejoin(_ stream: StreamName, after writer: Writer, nonce: Int64) async throws -> Joined
    /// The orderly end of an epoch: raises the epoch and takes the writer off the members. Does nothing when the epoch
    /// is over already.
    func leave(_ stream: StreamName, as writer: Writer) async throws
    /// Raises the durable position of the instance to the sequence's newest ID, whatever its heartbeat says, and
    /// returns that position.
    func closeWriter(_ stream: StreamName, instance: InstanceName) async throws -> StreamID
    /// Raises the epoch of the instance and takes it off the members, whatever its heartbeat says.
    func retire(_ stream: StreamName, instance: InstanceName) async throws
    /// Raises the durable position of a member to the sequence's newest ID, and returns that position, if in the same
    /// transaction the member still is what was observed; nil where it is not, and then nothing was done.
    ///
    /// Epoch and position have to be the same (others close too), and the heartbeat, unless the process is gone. Unless the
    /// process is gone, nothing is done either when the transaction begins much later than the observation was read: a
    /// heartbeat may have waited for the same lock, and comes first.
    func closeWriter(_ stream: StreamName, observed: WriterObservation) async throws -> StreamID?
    /// Raises the epoch of a member and takes it off the members, under the same condition; whether it did.
    func retire(_ stream: StreamName, observed: WriterObservation) async throws -> Bool
    /// Waits for its turn to write, and writes nothing: that shows that everyone could write just now.
    func checkWritable() async throws
    /// Writes down what writers promise. One call for all writers of a process, in one transaction; the answers come
    /// in the order of the beats.
    func heartbeat(_ beats: [Heartbeat]) async throws -> [HeartbeatAnswer]

    // MARK: Writing

    /// New IDs of the incarnation in which the writer joined. They need not be allocated durably.
    func allocate(_ count: Int, in stream: StreamName, for writer: Writer) async throws -> [StreamID]
    /// Puts tombstones into the rows of the IDs that have none, durably, so that no event can take them.
    ///
    /// IDs at or below the mark of what was pruned get none: nothing can be committed there any more.
    ///
    /// - Parameter incarnation: which one handed the IDs out; nil for that of now.
    func abandon(
        _ ids: [StreamID], allocatedIn incarnation: Incarnation?, in stream: StreamName, by writer: Writer
    ) async throws -> AbandonedIDs
    /// Allocates and persists in one transaction.
    ///
    /// - Throws: ``TidemarkError/outcomeUnknown(stream:events:problem:)`` where the group may be committed, or may still be
    ///   later: then ``settle(_:)`` tells. After every other error it is certain that nothing of it can commit:
    ///   ``TidemarkError/fenced(stream:writer:fence:)``, where the group's fence is not the newest;
    ///   ``TidemarkError/databaseWentBackwards(stream:id:problem:)``, where the sequence is below what the writer knows, so
    ///   that IDs would be handed out a second time, and where the database knows nothing of the writer.
    func persist(_ group: EventGroup) async throws -> PersistedGroup
    /// What became of groups of one writer whose outcome is unknown. It first sees to it that those which have not been
    /// committed never will be: it excludes the writer's groups that are under way, and raises its fence. So it may be
    /// asked again. It answers for a writer whose epoch is over, too.
    ///
    /// - Parameter groups: at least one, all of the same writer.
    /// - Throws: ``TidemarkError/pruned(stream:after:through:)`` where a group may have been committed, and was pruned with its
    ///   ids.
    func settle(_ groups: [EventGroup]) async throws -> Settlement
    /// Persists the event under an ID that was allocated before. When the event's id is there already, the ID gets a
    /// tombstone in the same transaction.
    func persist(_ event: Event, as id: StreamID, in stream: StreamName, by writer: Writer) async throws
        -> PersistOutcome

    // MARK: Reading

    /// One fresh snapshot for a batch of a background reader; nil when the stream does not exist.
    func snapshot(of stream: StreamName, _ request: SnapshotRequest) async throws -> Snapshot?
    /// The same snapshot, whose events are shown to `visit` where they lie, if `accepting` returns true for the snapshot without
    /// its events. A store that cannot lend its memory need not implement it.
    ///
    /// - Parameter result: what `visit` begins with.
    /// - Throws: what `visit` throws, too.
    func rawSnapshot<Result: Sendable>(
        of stream: StreamName, _ request: SnapshotRequest, into result: Result,
        accepting: @Sendable (Snapshot) -> Bool, _ visit: @Sendable (inout Result, RawEvent) throws -> Void
    ) async throws -> RawSnapshot<Result>?
    /// What a reader or writer has to know to catch up with everything that it may not have heard; nil when the stream
    /// does not exist.
    func reconciliation(of stream: StreamName, above minimum: StreamID, limit: Int) async throws -> Reconciliation?
    /// The event with this id, whether or not the minimum has reached it.
    func event(withID id: String, in stream: StreamName) async throws -> PersistedEvent?
    /// What `status` shows, from one snapshot; nil when the stream does not exist.
    ///
    /// - Parameter includingLeft: whether writers that left are among the writers, and not only counted.
    func status(of stream: StreamName, includingLeft: Bool) async throws -> StreamStatus?

    /// Gives back what the store holds: files, connections, its sign of life. To be called when the logs over it have ended;
    /// nothing else is asked of it after that. A store that holds nothing has nothing to do.
    func close() async

    // MARK: Consumers

    /// Takes the name: a process that had it before can move its checkpoint no more. Makes the stream where it is missing, and
    /// the consumer, which begins where the request says.
    ///
    /// - Throws: ``TidemarkError/consumerInUse(stream:consumer:by:)``, and
    ///   ``TidemarkError/databaseWentBackwards(stream:id:problem:)`` when the checkpoint is above the sequence, or the
    ///   last event that the consumer has passed is not what it was;
    ///   ``TidemarkError/filterDiffers(stream:consumer:stored:)``,
    ///   ``TidemarkError/invalidFilter(stream:consumer:problem:)``. For a consumer that has to be made, as
    ///   ``moveConsumer(_:in:to:)``.
    func claimConsumer(_ request: ConsumerRequest) async throws -> ConsumerClaim
    /// Does nothing while the claim is the newest.
    ///
    /// - Throws: ``TidemarkError/consumerTaken(stream:consumer:)``.
    func verify(_ claim: ConsumerClaim) async throws
    /// Where a consumer is, in a fresh snapshot, and whether it has put the event aside; nil when there is no such consumer.
    func position(of name: ConsumerName, in stream: StreamName, passing id: StreamID) async throws -> ConsumerPosition?
    /// Moves the checkpoint on; never back.
    ///
    /// - Parameters:
    ///   - begin: where the checkpoint has to be, exactly; nil where it may be anywhere.
    ///   - snapshot: what the snapshot that the batch came from had seen.
    ///   - delivered: everything from the beginning of the stream to `position`; nil where that is not known.
    ///   - passed: the last event at or below `position`; where it is nil the store looks it up.
    /// - Throws: ``TidemarkError/consumerTaken(stream:consumer:)``, and
    ///   ``TidemarkError/databaseWentBackwards(stream:id:problem:)`` when the position is above the sequence, or what was
    ///   passed is not there. Where `begin` is given, ``TidemarkError/alreadyPassed(stream:consumer:begin:checkpoint:)`` and
    ///   ``TidemarkError/notYetPassed(stream:consumer:begin:checkpoint:)``.
    func checkpoint(
        _ claim: ConsumerClaim, from begin: StreamID?, at position: StreamID, snapshot: SnapshotMark,
        delivered: DeliveredSum?,
        passed: Delivered?
    ) async throws
    /// Moves a consumer by hand, whatever its checkpoint says, and returns where it is then. A process that reads under its
    /// name is stopped. What the consumer is given is counted from there.
    ///
    /// - Throws: ``TidemarkError/unknownStream(stream:store:)``,
    ///   ``TidemarkError/unknownConsumer(stream:consumer:known:)``,
    ///   ``TidemarkError/notReached(stream:id:highest:)`` for a place that readers cannot have reached, and for one that
    ///   was kept ``TidemarkError/otherDatabase(stream:place:)`` or
    ///   ``TidemarkError/databaseWentBackwards(stream:id:problem:)``.
    func moveConsumer(_ name: ConsumerName, in stream: StreamName, to start: ConsumerStart) async throws -> StreamID
    /// Gives a consumer another filter, from its checkpoint on. A process that reads under its name is stopped.
    ///
    /// - Throws: ``TidemarkError/unknownStream(stream:store:)``,
    ///   ``TidemarkError/unknownConsumer(stream:consumer:known:)``,
    ///   ``TidemarkError/invalidFilter(stream:consumer:problem:)``.
    func changeFilter(of name: ConsumerName, in stream: StreamName, to filter: EventFilter) async throws
    /// Removes a consumer with its place.
    ///
    /// - Parameter takingOver: whether it is removed where a process that lives has it, which is stopped with that.
    /// - Throws: ``TidemarkError/unknownStream(stream:store:)``,
    ///   ``TidemarkError/unknownConsumer(stream:consumer:known:)``,
    ///   ``TidemarkError/consumerInUse(stream:consumer:by:)``.
    func deleteConsumer(_ name: ConsumerName, in stream: StreamName, takingOver: Bool) async throws
    /// Whether the consumer's past was complete; see ``Audit``.
    ///
    /// - Parameter limit: how many findings are kept; beyond that they are counted.
    /// - Throws: ``TidemarkError/unknownStream(stream:store:)``,
    ///   ``TidemarkError/unknownConsumer(stream:consumer:known:)``.
    func audit(_ stream: StreamName, consumer: ConsumerName, limit: Int) async throws -> Audit
}

extension EventStore {
    /// A quarter of a second.
    public var standstillInterval: Duration { .milliseconds(250) }

    /// None.
    public func ownTransport(for stream: StreamName) -> (any ReplicationTransport)? { nil }

    /// The same for a caller that does not ask again.
    public func join(_ stream: StreamName, as instance: InstanceName) async throws -> Joined {
        try await join(stream, as: instance, nonce: .random(in: 1 ... .max))
    }

    /// The same for a caller that does not ask again.
    public func rejoin(_ stream: StreamName, after writer: Writer) async throws -> Joined {
        try await rejoin(stream, after: writer, nonce: .random(in: 1 ... .max))
    }

    /// The same with the members alone.
    public func status(of stream: StreamName) async throws -> StreamStatus? {
        try await status(of: stream, includingLeft: false)
    }

    /// One group, whose outcomes come in the order of the events.
    public func persist(
        _ events: [Event], in stream: StreamName, by writer: Writer, known: StreamID = 0, fence: Int64 = 0
    ) async throws -> [PersistOutcome] {
        try await persist(EventGroup(events, in: stream, by: writer, known: known, fence: fence)).outcomes
    }

    /// The same for IDs of this incarnation, which are void for nobody; returns those that hold an event.
    public func abandon(_ ids: [StreamID], in stream: StreamName, by writer: Writer) async throws -> [StreamID] {
        try await abandon(ids, allocatedIn: nil, in: stream, by: writer).committed
    }

    /// The same wherever the checkpoint is.
    public func checkpoint(
        _ claim: ConsumerClaim, at position: StreamID, snapshot: SnapshotMark, delivered: DeliveredSum?,
        passed: Delivered?
    ) async throws {
        try await checkpoint(
            claim, from: nil, at: position, snapshot: snapshot, delivered: delivered, passed: passed)
    }

    /// For a store that holds nothing.
    public func close() async {}

    /// The same where it is not known what was delivered.
    public func checkpoint(
        _ claim: ConsumerClaim, at position: StreamID, snapshot: SnapshotMark, delivered: DeliveredSum? = nil
    ) async throws {
        try await checkpoint(claim, at: position, snapshot: snapshot, delivered: delivered, passed: nil)
    }

    /// The same for a consumer of all events that begins with the first one, whichever process has it.
    ///
    /// - Parameter key: for a caller that asks again.
    public func claimConsumer(
        _ name: ConsumerName, in stream: StreamName, takingOver: Bool = true, key: Int64 = .random(in: 1 ... .max)
    ) async throws -> ConsumerClaim {
        var request = ConsumerRequest(stream: stream, consumer: name, key: key)
        request.takingOver = takingOver
        return try await claimConsumer(request)
    }
}

/// A store that can forget the names of writers that left.
public protocol ForgettingStore: EventStore {
    /// Forgets the name of a writer that left, at once. The events that it wrote keep the name. A process that takes the name
    /// later begins above its epochs, and the former writer is told that it was retired.
    ///
    /// - Returns: false where the writer is a member: then nothing was done.
    /// - Throws: ``TidemarkError/unknownStream(stream:store:)``, ``TidemarkError/unknownInstance(stream:instance:)``.
    func forget(_ stream: StreamName, instance: InstanceName) async throws -> Bool
}

/// For how long a write has waited before its store was asked for it: the store's own limit for a wait counts from then.
package enum WriteWait {
    @TaskLocal package static var before = Duration.zero
}

/// What is to be expected of a store that could not be opened, for a program that may wait for it.
package enum StoreOutlook: Sendable {
    /// It is not there yet, or out of reach for now.
    case mayCome
    /// It is there by now: whatever keeps it from being opened once more will not go by itself.
    case isThere
    /// Somebody has to change something first.
    case needsSomebody
}

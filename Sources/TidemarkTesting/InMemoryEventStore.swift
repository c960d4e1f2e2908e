import Synchronization
import Tidemark

/// A store in memory, for tests: it keeps the rules that databases keep, and lets a test step in before and after each
/// call, to force an interleaving or to fail it. Each store stands for a process; those that share a database are
/// ``init(sharing:)``.
public final class InMemoryEventStore: ImmediateEventStore {
    /// What is about to be done, or was done.
    public enum Operation: Hashable, Sendable {
        /// Calls about writers, by the names that they have in `EventStore`; `join` stands for `rejoin`, too.
        case join, leave, close, retire, forget, heartbeat, checkWritable
        /// So many IDs are allocated.
        case allocate(Int)
        /// These IDs are given up.
        case abandon([StreamID])
        /// A group is persisted, or groups are settled.
        case persist, settle
        /// An event is persisted under this ID.
        case persistAs(StreamID)
        /// Calls that read; `lookUp` stands for `event(withID:in:)`.
        case snapshot, reconciliation, lookUp, status
        /// Calls about the index of keys: it is made or built by a step, its state or the events of this key are read.
        case makeKeyIndex, buildKeyIndex, keyIndex, eventsOfKey(String)
        /// Calls about consumers.
        case claim, verify, position, checkpoint, move, changeFilter, delete, audit
        /// Calls about a processor as a whole, by the names that they have in `ProcessorStore`.
        case openProcessor, checkpointPartitions, countStarts
        /// This process writes a sign of life.
        case beat(ProcessorProcess)
        /// This process claims partitions.
        case claimPartitions(ProcessorProcess)
        /// This process runs the processor no more.
        case leaveProcessor(ProcessorProcess)
        /// Anything that has to do with parked events.
        case parked
        /// The beginning of a stream is removed, or what was is looked at.
        case prune, pruned
    }

    /// When a hook is called.
    public enum Moment: Hashable, Sendable {
        /// Nothing was done yet; throwing prevents it.
        case before
        /// It is done; throwing loses the answer, as a broken connection does.
        case after
    }

    /// Steps in. It may wait, which holds the call up, and throw, which fails it.
    public typealias Hook = @Sendable (_ operation: Operation, _ moment: Moment) async throws -> Void

    /// Whether the store need not wait for anything; throwing fails the call.
    public typealias ImmediateHook = @Sendable () throws -> Bool

    public let description = "memory"
    /// What several stores may share.
    private final class Shared: Sendable {
        let database: Mutex<InMemoryDatabase>

        init(seed: UInt64) { database = Mutex(InMemoryDatabase(seed: seed)) }
    }

    /// What this process has in the database, and what goes with it.
    private struct Holdings {
        var writers: [StreamName: Set<Writer>] = [:]
        var consumers: [StreamName: [ConsumerName: Int]] = [:]
        var processors: Set<ProcessorName> = []
        var processes: Set<ProcessorProcess> = []
    }

    private let shared: Shared
    private let holdings = Mutex(Holdings())
    /// What those who write know, whatever becomes of the database.
    private let commits = Mutex(OwnCommits())
    private let hook = Mutex<Hook?>(nil)
    private let immediateHook = Mutex<ImmediateHook?>(nil)
    private let wallClock: @Sendable () -> Int64

    /// - Parameters:
    ///   - seed: what the store draws follows from it.
    ///   - wallClock: the time at which events are persisted, in milliseconds since 1970-01-01 UTC.
    public init(
        seed: UInt64 = .random(in: 0 ... .max), wallClock: @escaping @Sendable () -> Int64 = WallClock.milliseconds
    ) {
        shared = Shared(seed: seed)
        self.wallClock = wallClock
    }

    /// Another process that has the same database open. It has hooks of its own.
    public init(sharing other: InMemoryEventStore) {
        shared = other.shared
        wallClock = other.wallClock
    }

    /// What is in the store now.
    public var database: InMemoryDatabase { shared.database.withLock { $0 } }

    /// The process that this store stands for is gone, as the operating system tells everyone: with it all writers that
    /// joined, and consumers and partitions that were claimed, through this store.
    public func endProcess() {
        let held = holdings.withLock { $0 }
        change { database in
            for (stream, writers) in held.writers {
                for writer in writers where database.streams[stream]?.writers[writer.instance]?.epoch == writer.epoch {
                    database.endProcess(of: writer.instance, in: stream)
                }
            }
            for (stream, claims) in held.consumers {
                for (name, generation) in claims
                where database.streams[stream]?.consumers[name]?.generation == generation {
                    database.endProcess(ofConsumer: name, in: stream)
                }
            }
            for processor in held.processors {
                for process in held.processes { database.endProcess(process, of: processor) }
            }
        }
    }

    /// Lets a process of which an instance is part be gone, as the operating system tells everyone.
    public func endProcess(of instance: InstanceName, in stream: StreamName) {
        change { $0.endProcess(of: instance, in: stream) }
    }

    /// The process that claimed a consumer last is gone.
    public func endProcess(ofConsumer consumer: ConsumerName, in stream: StreamName) {
        change { $0.endProcess(ofConsumer: consumer, in: stream) }
    }

    /// Puts a database back, as restoring a backup does.
    public func restore(_ database: InMemoryDatabase) { change { $0.restore(database) } }

    /// Called before and after each operation from now on.
    public func setHook(_ hook: Hook?) { self.hook.withLock { $0 = hook } }

    /// From now on the store is asked to persist at once, and does as the hook says. Without one it never does, so that
    /// every transaction passes the other hook.
    public func setImmediateHook(_ hook: ImmediateHook?) { immediateHook.withLock { $0 = hook } }

    func change(_ body: (inout InMemoryDatabase) -> Void) { shared.database.withLock { body(&$0) } }

    /// This process runs the processor.
    func holds(_ processor: ProcessorName, _ process: ProcessorProcess) {
        holdings.withLock {
            $0.processors.insert(processor)
            $0.processes.insert(process)
        }
    }

    private func joined(_ joined: Joined, _ stream: StreamName) -> Joined {
        holdings.withLock { _ = $0.writers[stream, default: []].insert(joined.writer) }
        commits.withLock { $0.joined(stream, as: joined.writer.instance) }
        return joined
    }

    func run<Value: Sendable>(
        _ operation: Operation, _ body: (inout InMemoryDatabase) throws -> Value
    ) async throws -> Value {
        let hook = hook.withLock { $0 }
        try await hook?(operation, .before)
        let value = try transaction(body)
        try await hook?(operation, .after)
        return value
    }

    /// Nothing of it happens where it throws.
    private func transaction<Value: Sendable>(_ body: (inout InMemoryDatabase) throws -> Value) throws -> Value {
        try shared.database.withLock { state in
            var copy = state
            let value = try body(&copy)
            state = copy
            return value
        }
    }

    public func join(_ stream: StreamName, as instance: InstanceName, nonce: Int64) async throws -> Joined {
        joined(try await run(.join) { $0.join(stream, as: instance, nonce: nonce) }, stream)
    }

    public func rejoin(_ stream: StreamName, after writer: Writer, nonce: Int64) async throws -> Joined {
        joined(try await run(.join) { try $0.rejoin(stream, after: writer, nonce: nonce) }, stream)
    }

    public func leave(_ stream: StreamName, as writer: Writer) async throws {
        try await run(.leave) { $0.leave(stream, as: writer) }
    }

    public func closeWriter(_ stream: StreamName, instance: InstanceName) async throws -> StreamID {
        try await run(.close) { try $0.closeWriter(stream, instance: instance) }
    }

    public func retire(_ stream: StreamName, instance: InstanceName) async throws {
        try await run(.retire) { try $0.retire(stream, instance: instance) }
    }

    public func closeWriter(_ stream: StreamName, observed: WriterObservation) async throws -> StreamID? {
        try await run(.close) { try $0.closeWriter(stream, observed: observed) }
    }

    public func retire(_ stream: StreamName, observed: WriterObservation) async throws -> Bool {
        try await run(.retire) { try $0.retire(stream, observed: observed) }
    }

    public func checkWritable() async throws {
        try await run(.checkWritable) { _ in }
    }

    public func heartbeat(_ beats: [Heartbeat]) async throws -> [HeartbeatAnswer] {
        try await run(.heartbeat) { database in try beats.map { try database.heartbeat($0) } }
    }

    public func allocate(_ count: Int, in stream: StreamName, for writer: Writer) async throws -> [StreamID] {
        try await run(.allocate(count)) { try $0.allocate(count, in: stream, for: writer) }
    }

    public func abandon(
        _ ids: [StreamID], allocatedIn incarnation: Incarnation?, in stream: StreamName, by writer: Writer
    ) async throws -> AbandonedIDs {
        try await run(.abandon(ids)) { try $0.abandon(ids, allocatedIn: incarnation, in: stream) }
    }

    public func persist(_ group: EventGroup) async throws -> PersistedGroup {
        try await run(.persist) { try self.persist(group, &$0) }
    }

    public func settle(_ groups: [EventGroup]) async throws -> Settlement {
        try await run(.settle) { try $0.settle(groups) }
    }

    private func persist(_ group: EventGroup, _ database: inout InMemoryDatabase) throws -> PersistedGroup {
        try requireCommitted(in: group.stream, by: group.writer, database)
        let persisted = try database.persist(group, at: wallClock())
        noteCommit(of: persisted.outcomes.last, in: group.stream, by: group.writer, database)
        return persisted
    }

    /// Only in the database that the writer has committed to before.
    private func requireCommitted(in stream: StreamName, by writer: Writer, _ database: InMemoryDatabase) throws {
        if let last = commits.withLock({ $0.last(in: stream, by: writer) }),
            database.streams[stream]?.holds(last) != true
        {
            throw TidemarkError.databaseWentBackwards(
                stream: stream, id: last.streamID, problem: "what \(writer) has committed there is not there now")
        }
    }

    private func noteCommit(
        of outcome: PersistOutcome?, in stream: StreamName, by writer: Writer, _ database: InMemoryDatabase
    ) {
        guard let id = outcome?.streamID, case .event(let event) = database.streams[stream]?.rows[id] else { return }
        let mark = Delivered(streamID: id, mark: event.mark)
        commits.withLock { $0.committed(mark, order: event.mark.rawValue, in: stream, by: writer) }
    }

    public func persistImmediately(_ group: EventGroup) throws -> PersistedGroup? {
        guard let hook = immediateHook.withLock({ $0 }), try hook() else { return nil }
        return try transaction { try persist(group, &$0) }
    }

    public func persist(
        _ event: Event, as id: StreamID, in stream: StreamName, by writer: Writer
    ) async throws -> PersistOutcome {
        try await run(.persistAs(id)) { database in
            try self.requireCommitted(in: stream, by: writer, database)
            let outcome = try database.persistOrPass(event, as: id, in: stream, by: writer, at: self.wallClock())
            self.noteCommit(of: try? outcome.get(), in: stream, by: writer, database)
            return outcome
        }.get()
    }

    public func snapshot(of stream: StreamName, _ request: SnapshotRequest) async throws -> Snapshot? {
        try await run(.snapshot) { try $0.snapshot(of: stream, request) }
    }

    public func reconciliation(
        of stream: StreamName, above minimum: StreamID, limit: Int
    ) async throws -> Reconciliation? {
        try await run(.reconciliation) { $0.reconciliation(of: stream, above: minimum, limit: limit) }
    }

    public func event(withID id: String, in stream: StreamName) async throws -> PersistedEvent? {
        try await run(.lookUp) { try $0.event(withID: id, in: stream) }
    }

    public func status(of stream: StreamName, includingLeft: Bool) async throws -> StreamStatus? {
        try await run(.status) { $0.status(of: stream, includingLeft: includingLeft) }
    }

    public func claimConsumer(_ request: ConsumerRequest) async throws -> ConsumerClaim {
        let claim = try await run(.claim) { try $0.claim(request) }
        holdings.withLock { $0.consumers[request.stream, default: [:]][request.consumer] = claim.generation }
        return claim
    }

    public func position(
        of name: ConsumerName, in stream: StreamName, passing id: StreamID
    ) async throws -> ConsumerPosition? {
        try await run(.position) { database in
            database.streams[stream]?.consumers[name].map {
                ConsumerPosition(
                    position: $0.position,
                    isParked: database.streams[stream]?.processors[name]?.parked[id] != nil,
                    eras: (database.streams[stream]?.eras.suffix(Membership.mostEras)).map { Array($0) } ?? [])
            }
        }
    }

    public func changeFilter(
        of name: ConsumerName, in stream: StreamName, to filter: EventFilter
    ) async throws {
        try await run(.changeFilter) { try $0.changeFilter(of: name, in: stream, to: filter) }
    }

    public func deleteConsumer(_ name: ConsumerName, in stream: StreamName, takingOver: Bool) async throws {
        try await run(.delete) { try $0.delete(name, in: stream, takingOver: takingOver) }
    }

    public func verify(_ claim: ConsumerClaim) async throws {
        try await run(.verify) { try $0.verify(claim) }
    }

    public func checkpoint(
        _ claim: ConsumerClaim, from begin: StreamID?, at position: StreamID, snapshot: SnapshotMark,
        delivered: DeliveredSum?, passed: Delivered?
    ) async throws {
        try await run(.checkpoint) {
            try $0.checkpoint(
                claim, from: begin, at: position, snapshot: snapshot, delivered: delivered, passed: passed)
        }
    }

    public func moveConsumer(
        _ name: ConsumerName, in stream: StreamName, to start: ConsumerStart
    ) async throws -> StreamID {
        try await run(.move) { try $0.move(name, in: stream, to: start) }
    }

    public func audit(_ stream: StreamName, consumer: ConsumerName, limit: Int) async throws -> Audit {
        try await run(.audit) { try $0.audit(stream, consumer: consumer, limit: limit) }
    }
}

extension InMemoryEventStore: ForgettingStore {
    public func forget(_ stream: StreamName, instance: InstanceName) async throws -> Bool {
        try await run(.forget) { try $0.forget(stream, instance: instance) }
    }
}

import Synchronization

/// The epoch that a log writes in, and why it does not when it does not.
final class LogMembership: WriterMembership {
    typealias HasJoined = @Sendable (Joined) -> Void

    private let stream: StreamName
    private let instance: InstanceName
    private let store: any EventStore
    private let state: Mutex<State>

    private struct State {
        var writer: Writer?
        /// Set once, for good.
        var failure: TidemarkError?
        var isStopped = false
        var rejoining: Task<Writer, any Error>?
        /// Of the join that is under way, or whose answer was lost: it may have been made all the same.
        var nonce: Int64?
        /// It holds this, as where its IDs come from, so that it is let go when the log stops.
        var generator: MultiWriterIDGenerator?
        var hasJoined: HasJoined?
        /// Told when the log fails.
        var failureWaiters: [Waiter<TidemarkError?>] = []
    }

    init(stream: StreamName, instance: InstanceName, writer: Writer?, store: any EventStore) {
        self.stream = stream
        self.instance = instance
        self.store = store
        state = Mutex(State(writer: writer))
    }

    /// - Parameter hasJoined: called after each join but the first.
    func attach(generator: MultiWriterIDGenerator, hasJoined: @escaping HasJoined) {
        let writer = state.withLock { state in
            state.generator = generator
            state.hasJoined = hasJoined
            return state.writer
        }
        if let writer { generator.change { $0.pin(to: writer) } }
    }

    func currentWriter() throws -> Writer {
        try state.withLock { state throws(TidemarkError) in
            if let failure = state.failure { throw failure }
            if state.isStopped { throw .stopped(stream: stream, instance: instance) }
            guard let writer = state.writer else { throw .notAMember(stream: stream, instance: instance) }
            return writer
        }
    }

    /// Reading goes on after another process took the name; it ends with the log, and with the database.
    func checkRunning() throws {
        try state.withLock { state throws(TidemarkError) in
            if let failure = state.failure, failure.endsReading { throw failure }
            if state.isStopped { throw .stopped(stream: stream, instance: instance) }
        }
    }

    var isRunning: Bool { state.withLock { !$0.isStopped } }

    var failureSoFar: TidemarkError? { state.withLock { $0.failure } }

    /// The last epoch, whether or not it may still write; nil for a reader.
    var lastWriter: Writer? { state.withLock { $0.writer } }

    func rejoin(after writer: Writer) async throws -> Writer {
        let task = try state.withLock { state throws(TidemarkError) in
            if let failure = state.failure { throw failure }
            if state.isStopped { throw .stopped(stream: stream, instance: instance) }
            if let rejoining = state.rejoining { return rejoining }
            if let current = state.writer, current.epoch > writer.epoch { return Task { current } }
            let task = Task { try await self.join(after: writer) }
            state.rejoining = task
            return task
        }
        return try await valueUnlessCancelled(of: task)
    }

    private func join(after writer: Writer) async throws -> Writer {
        defer { state.withLock { $0.rejoining = nil } }
        let nonce = state.withLock { state in
            let nonce = state.nonce ?? .random(in: 1 ... .max)
            state.nonce = nonce
            return nonce
        }
        let joined: Joined
        do {
            joined = try await store.rejoin(stream, after: writer, nonce: nonce)
        } catch let error as TidemarkError where error.isFinal {
            fail(error)
            throw error
        }
        let (generator, hasJoined) = state.withLock { ($0.generator, $0.hasJoined) }
        // The generator first: nothing is persisted in the new epoch before its position counts for it.
        generator?.change { tracker in
            tracker.pin(to: joined.writer)
            tracker.updateMembers(
                joined.membership.members, version: joined.membership.version, nonces: joined.membership.nonces)
        }
        let wasStopped = state.withLock { state in
            state.writer = joined.writer
            state.nonce = nil
            return state.isStopped
        }
        guard !wasStopped else {
            // Nobody runs this writer, and whoever ended the log may not have waited for it.
            // In a task of its own: this one may be cancelled, and a write that waits would be taken back.
            try await Task { [store, stream] in try await store.leave(stream, as: joined.writer) }.value
            throw TidemarkError.stopped(stream: stream, instance: instance)
        }
        hasJoined?(joined)
        return joined.writer
    }

    /// Ends the log's writing for good, for this reason.
    func fail(_ error: TidemarkError) {
        let waiters = state.withLock { state in
            state.failure = state.failure ?? error
            defer { state.failureWaiters = [] }
            return state.failureWaiters
        }
        for waiter in waiters { waiter.resolve(error) }
    }

    /// Returns when the log fails, with why, or with nil when the task is cancelled.
    func failure() async -> TidemarkError? {
        let waiter = Waiter<TidemarkError?>()
        let failure = state.withLock { state in
            if state.failure == nil { state.failureWaiters.append(waiter) }
            return state.failure
        }
        if let failure { return failure }
        defer { state.withLock { state in state.failureWaiters.removeAll { $0 === waiter } } }
        return await withTaskCancellationHandler {
            await waiter.value()
        } onCancel: {
            waiter.resolve(nil)
        }
    }

    /// From now on nobody writes and nobody joins. A join that is under way leaves again: it is what this returns.
    func stop() -> Task<Writer, any Error>? {
        state.withLock { state in
            state.isStopped = true
            state.generator = nil
            return state.rejoining
        }
    }
}

/// The sequence of a stream in a store.
struct StoreSequence: StreamIDSequence {
    let stream: StreamName
    let store: any EventStore
    let membership: LogMembership

    func next(_ count: Int) async throws -> [StreamID] {
        let writer = try membership.currentWriter()
        do {
            return try await store.allocate(count, in: stream, for: writer)
        } catch let error as TidemarkError where error.endsEpoch {
            let writer = try await membership.rejoin(after: writer)
            return try await store.allocate(count, in: stream, for: writer)
        }
    }

    func abandon(_ ids: [StreamID]) async throws -> [StreamID] {
        // An epoch that is over may still give its IDs up.
        guard let writer = membership.lastWriter else { return [] }
        return try await store.abandon(ids, in: stream, by: writer)
    }
}

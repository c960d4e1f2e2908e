import Synchronization

extension EventLog {
    /// Persists the event, together with what others hand in at the same time, and returns its ID once it is durable.
    /// An event that is there already keeps the ID that it has. Where the program traces, the current trace goes into the
    /// event's metadata.
    ///
    /// - Throws: what ``EventPersister/persist(_:)`` throws.
    @discardableResult
    public func persist(_ event: Event) async throws -> StreamID {
        try await persister.persist([event].traced(limits: configuration.limits))[0].streamID
    }

    /// Persists the events in one transaction, all or none, and returns their IDs in their order.
    @discardableResult
    public func persist(_ events: [Event]) async throws -> [StreamID] {
        try await persister.persist(events.traced(limits: configuration.limits)).map(\.streamID)
    }

    /// Allocates an ID for as long as `body` runs, in which ``persist(_:as:)`` puts an event under it. An ID for which
    /// no commit was acknowledged is abandoned when the body ends, however it ends.
    ///
    /// - Parameter timeLimit: for the allocation and the body together; then the ID is abandoned, and readers do not
    ///   wait for it any more.
    /// - Throws: what the body throws, or ``TidemarkError``; see ``MultiWriterIDGenerator/withNextID(timeLimit:_:)``.
    @discardableResult
    public nonisolated(nonsending) func withNextID<R>(
        timeLimit: Duration = .seconds(30), _ body: nonisolated(nonsending) (StreamID) async throws -> R
    ) async throws -> R {
        try await withNextIDs(1, timeLimit: timeLimit) { try await body($0[0]) }
    }

    /// The same for several IDs, which ascend.
    ///
    /// - Precondition: `count` is 0 to 1,000,000.
    @discardableResult
    public nonisolated(nonsending) func withNextIDs<R>(
        _ count: Int, timeLimit: Duration = .seconds(30),
        _ body: nonisolated(nonsending) ([StreamID]) async throws -> R
    ) async throws -> R {
        try await generator.checkStanding()
        return try await generator.withReservation(
            count, timeLimit: timeLimit, acknowledged: { id in isAcknowledged(id) }
        ) { ids in
            scopes.withLock { scopes in
                for id in ids { scopes[id] = false }
            }
            let result: R
            do {
                result = try await body(ids)
            } catch {
                endScope(ids)
                throw error
            }
            return result
        }
    }

    /// The same, for a caller that passes the actor on which it runs.
    @discardableResult
    public func withNextID<R>(
        timeLimit: Duration = .seconds(30), isolation: isolated (any Actor)?,
        _ body: nonisolated(nonsending) (StreamID) async throws -> R
    ) async throws -> R {
        try await withNextID(timeLimit: timeLimit, body)
    }

    /// The same, for a caller that passes the actor on which it runs.
    @discardableResult
    public func withNextIDs<R>(
        _ count: Int, timeLimit: Duration = .seconds(30), isolation: isolated (any Actor)?,
        _ body: nonisolated(nonsending) ([StreamID]) async throws -> R
    ) async throws -> R {
        try await withNextIDs(count, timeLimit: timeLimit, body)
    }

    /// Persists the event under an ID of a scope of this log. Where its id is there already, the event keeps the ID
    /// that it has, which is returned, and the scope's ID is given up.
    ///
    /// - Throws: ``TidemarkError/closed(stream:instance:id:)`` outside of the ID's scope, and when the ID was closed or
    ///   abandoned: nothing was written. ``TidemarkError/keyPassed(stream:key:id:newest:)`` in a stream with an index of keys,
    ///   when the event's key has got a newer event since the ID was allocated: take another one.
    ///   ``TidemarkError/invalidEvent(stream:id:problem:)``, or what the store throws.
    @discardableResult
    public func persist(_ event: Event, as id: StreamID) async throws -> StreamID {
        let event = [event].traced(limits: configuration.limits)[0]
        try configuration.limits.check(event, in: stream)
        let writer = try generator.currentWriter()
        guard scopes.withLock({ $0[id] == false }), generator.holds(id) else {
            throw TidemarkError.closed(stream: stream, instance: instance, id: id)
        }
        let outcome: PersistOutcome
        do {
            outcome = try await store.persist(event, as: id, in: stream, by: writer)
        } catch let error as TidemarkError where error.endsEpoch {
            // The ID went with its epoch. The next one is of the epoch that this begins, unless the name was taken.
            _ = try await generator.rejoin(after: writer)
            throw TidemarkError.closed(stream: stream, instance: instance, id: id)
        } catch TidemarkError.keyPassed(let stream, let key, id, let newest) {
            acknowledge(id)
            throw TidemarkError.keyPassed(stream: stream, key: key, id: id, newest: newest)
        }
        acknowledge(id)
        metrics.committed([outcome])
        return outcome.streamID
    }

    /// Its commit, or its tombstone, is there: the scope need not ask.
    private func acknowledge(_ id: StreamID) {
        scopes.withLock { scopes in
            if scopes[id] != nil { scopes[id] = true }
        }
    }

    /// Forgets the ID, and says whether its commit, or its tombstone, was acknowledged.
    private func isAcknowledged(_ id: StreamID) -> Bool {
        scopes.withLock { $0.removeValue(forKey: id) } ?? false
    }

    /// The body threw: what was acknowledged before is committed all the same.
    private func endScope(_ ids: [StreamID]) {
        generator.finish(ids.filter(isAcknowledged))
    }
}

extension EventLog {
    /// For stores that let users put IDs into transactions of their own: the writer that they are committed as.
    ///
    /// What becomes of the transaction is not reported back: the scope asks the database when it ends, as for every ID
    /// for which it saw no acknowledged commit.
    ///
    /// - Throws: why this instance does not write, or ``TidemarkError/closed(stream:instance:id:)`` for an ID that is
    ///   not held by a scope of this log any more.
    package func writer(committing ids: [StreamID]) throws -> Writer { try owner(committing: ids).writer }

    /// The same, with the incarnation that handed the IDs out.
    ///
    /// - Throws: as ``writer(committing:)``.
    package func owner(committing ids: [StreamID]) throws -> (writer: Writer, incarnation: Incarnation) {
        // First: an ID that is held afterwards is of this epoch, for another incarnation forgets what is in flight.
        let incarnation = generator.writersIncarnation
        let writer = try generator.currentWriter()
        let open = scopes.withLock { scopes in ids.map { scopes[$0] == false } }
        for (id, isOpen) in zip(ids, open) where !isOpen || !generator.holds(id) {
            throw TidemarkError.closed(stream: stream, instance: instance, id: id)
        }
        return (writer, incarnation)
    }

    /// The database refused such a commit, for this reason; what the caller is told.
    package func refusedCommit(of id: StreamID, _ error: TidemarkError) -> TidemarkError {
        if error.isFinal { generator.fail(error) }
        guard case .retired = error else { return error }
        // The ID went with its epoch. The next scope begins with joining again.
        return .closed(stream: stream, instance: instance, id: id)
    }
}

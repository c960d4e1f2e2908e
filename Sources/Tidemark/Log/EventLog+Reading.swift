import Synchronization

extension EventLog {
    /// The events after `position`, in order, in batches; see ``EventReader/events(after:)``.
    public func events(after position: StreamID = 0) -> EventBatches {
        reader.events(after: position)
    }

    /// A reader that keeps its place in the database. The stream is made where it is missing.
    ///
    /// - Parameters:
    ///   - start: where it begins when it is made now; one that is there goes on from its checkpoint.
    ///   - filter: which events it is given. It is applied in the database, and kept there with the consumer: another one
    ///     is an error until it is changed (``changeFilter(of:to:)``). The checkpoint moves past what is left out.
    ///   - whenTaken: what becomes of a process that reads under the name already. One that claimed it last has it for as
    ///     long as it has its store open. ``WhenTaken/standBy`` waits without a limit: until the task is cancelled, or the
    ///     log is shut down. It does not wait for a reader of this same log, but takes over from it.
    /// - Throws: ``TidemarkError/consumerInUse(stream:consumer:by:)``;
    ///   ``TidemarkError/databaseWentBackwards(stream:id:problem:)`` when the database is not the one in which the
    ///   consumer came as far as its checkpoint says, until it is moved by hand, and for a place that was kept elsewhere;
    ///   ``TidemarkError/notReached(stream:id:highest:)``, ``TidemarkError/otherDatabase(stream:place:)``,
    ///   ``TidemarkError/filterDiffers(stream:consumer:stored:)``,
    ///   ``TidemarkError/invalidFilter(stream:consumer:problem:)``; or what the store throws.
    public func consumer(
        _ name: ConsumerName, from start: ConsumerStart = .beginning, filter: EventFilter = .all,
        whenTaken: WhenTaken = .takeOver
    ) async throws -> DurableConsumer {
        var request = ConsumerRequest(stream: stream, consumer: name)
        request.start = start
        request.filter = filter
        request.takingOver = whenTaken == .takeOver
        while true {
            try Task.checkCancellation()
            try generator.checkRunning()
            if start != .beginning {
                // A consumer that begins at the end does not want what was persisted before, and durable positions lag.
                try await generator.reconcile()
                let note = generator.note()
                request.confirmed = Watermark(
                    minimum: note.confirmed, membershipVersion: note.watermark.membershipVersion)
            }
            if whenTaken == .standBy { request.replacing = claims.withLock { $0[name] } }
            do {
                let claim = try await store.claimConsumer(request)
                claims.withLock { $0[name] = claim.generation }
                return DurableConsumer(claim: claim, reader: reader)
            } catch TidemarkError.consumerInUse where whenTaken == .standBy {
                try await waitUntilFree(name)
            }
        }
    }

    /// How often a standby looks whether the consumer is free.
    private static let standbyInterval: Duration = .milliseconds(250)

    /// Looks, and writes nothing, for as long as a process that lives has the consumer.
    private func waitUntilFree(_ name: ConsumerName) async throws {
        repeat {
            try await time.sleep(for: Self.standbyInterval)
            try generator.checkRunning()
        } while try await store.status(of: stream)?.consumers.first { $0.name == name }?.isInUse == true
    }

    /// The consumers of the stream, by name: where they are, and who has them. Empty for a stream that is not there.
    public func consumers() async throws -> [StreamStatus.ConsumerStatus] {
        try await store.status(of: stream)?.consumers ?? []
    }

    /// Moves a consumer by hand, whatever its checkpoint says, and returns where it is then. A process that reads under its
    /// name is stopped.
    ///
    /// - Throws: as ``EventStore/moveConsumer(_:in:to:)``.
    @discardableResult
    public func moveConsumer(_ name: ConsumerName, to start: ConsumerStart) async throws -> StreamID {
        try await store.moveConsumer(name, in: stream, to: start)
    }

    /// Gives a consumer another filter, from its checkpoint on. A process that reads under its name is stopped.
    ///
    /// - Throws: as ``EventStore/changeFilter(of:in:to:)``.
    public func changeFilter(of name: ConsumerName, to filter: EventFilter) async throws {
        try await store.changeFilter(of: name, in: stream, to: filter)
    }

    /// Removes a consumer with its place.
    ///
    /// - Parameter takingOver: whether it is removed where a process that lives has it, which is stopped with that.
    /// - Throws: as ``EventStore/deleteConsumer(_:in:takingOver:)``.
    public func deleteConsumer(_ name: ConsumerName, takingOver: Bool = false) async throws {
        try await store.deleteConsumer(name, in: stream, takingOver: takingOver)
    }

    /// The event with this id, byte for byte; nil when there is none. It may lie above the minimum.
    public func event(withID id: String) async throws -> PersistedEvent? {
        try await store.event(withID: id, in: stream)
    }

    /// Waits until everything up to `position` is finished, as a snapshot confirms.
    ///
    /// - Throws: ``TidemarkError``, what the store throws, or `CancellationError`; never a silent success.
    public func waitUntilPersisted(_ position: StreamID, timeout: Duration) async throws -> WaitOutcome {
        let deadline = time.now + timeout
        while generator.note().confirmed < position {
            try Task.checkCancellation()
            try generator.checkRunning()
            if let failure = generator.failureSoFar { throw failure }
            let watermark = generator.watermark
            if watermark.minimum >= position {
                try await generator.reconcile()
                continue
            }
            let now = time.now
            guard now < deadline else { return .timedOut(heldBackBy: try await explain().heldBackBy) }
            let interval = configuration.reconcileInterval ?? timeout
            await generator.waitForChange(from: watermark, until: min(deadline, now + interval))
            if generator.watermark == watermark, configuration.reconcileInterval != nil {
                try await generator.reconcile(ifOlderThan: interval / 2)
            }
        }
        return .reached
    }

    /// Who holds the minimum back, since when, and why.
    ///
    /// - Throws: ``TidemarkError/unknownStream(stream:store:)``, or what the store throws.
    public func explain() async throws -> Explanation {
        try await generator.explain()
    }

    /// Makes this instance agree with the database now, instead of when it hears of something or within a second.
    ///
    /// - Throws: ``TidemarkError/databaseWentBackwards(stream:id:problem:)``, or what the store throws.
    public func reconcile() async throws {
        try await generator.reconcile()
    }
}

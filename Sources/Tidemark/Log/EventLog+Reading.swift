extension EventLog {
    /// The events after `position`, in order, in batches; see ``EventReader/events(after:)``.
    public func events(after position: StreamID = 0) -> EventBatches {
        reader.events(after: position)
    }

    /// A reader that keeps its place in the database. A new one begins with the first event of the stream, which is made
    /// where it is missing.
    ///
    /// - Parameter takingOver: whether whoever reads under that name already is stopped with an error, which is what a
    ///   service wants that is replaced by a newer one of itself. Where it is false, a consumer that another process
    ///   claimed last is left alone for as long as that process has its store open.
    /// - Throws: ``TidemarkError/consumerInUse(stream:consumer:by:)``;
    ///   ``TidemarkError/databaseWentBackwards(stream:id:problem:)`` when the database is not the one in which the
    ///   consumer came as far as its checkpoint says, until it is moved by hand; or what the store throws.
    public func consumer(_ name: ConsumerName, takingOver: Bool = true) async throws -> DurableConsumer {
        DurableConsumer(
            claim: try await store.claimConsumer(name, in: stream, takingOver: takingOver), reader: reader)
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

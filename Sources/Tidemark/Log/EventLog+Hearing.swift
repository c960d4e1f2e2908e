import Logging
import Synchronization

/// What the log does with what it hears; ``EventFeed`` decides.
extension EventLog {
    /// Called from the transport's thread: takes what is said at once, and leaves the database to others.
    func received(_ event: ReplicationEvent) {
        switch event {
        case .connected:
            feed.withLock { $0.connected() }
            announcer.announceNow()
            reconcileSoon()
        case .disconnected(let reason):
            feed.withLock { $0.disconnected() }
            logger.debug("replication is disconnected", metadata: ["reason": "\(reason)"])
        case .command(.replicate):
            announcer.announceNow()
        case .command(.position(let position)) where position.stream == stream:
            let standing = standing(of: position.writer)
            hear { $0.received(position, from: standing) }
        case .command(.rdata(let row)) where row.stream == stream:
            let standing = standing(of: row.writer)
            hear { $0.received(row, from: standing) }
        case .command:
            break
        }
    }

    private func hear(_ body: (inout EventFeed) -> EventFeed.Action) {
        let (action, hasQuestions) = feed.withLock { feed in (body(&feed), feed.hasQuestions) }
        carryOut(action)
        if hasQuestions { reconcileSoon() }
    }

    private func standing(of writer: Writer) -> EventFeed.Standing {
        generator.state.withLock { state in
            if writer.instance == instance, let own = state.tracker.pinned, writer.epoch <= own.epoch { return .own }
            if state.tracker.isMember(writer) { return .member }
            return (state.tracker.epoch(of: writer.instance) ?? -1) < writer.epoch ? .stranger : .outdated
        }
    }

    /// The members may have changed since the action was chosen: what is no member by now is not heard.
    private func carryOut(_ action: EventFeed.Action) {
        switch action {
        case .nothing:
            break
        case .advance(let writer, let position):
            generator.change { $0.advance(writer, to: position) }
        case .finish(let id, let writer):
            generator.change { tracker in
                if tracker.isMember(writer) { tracker.recordFinished(id...id) }
            }
        }
    }

    // MARK: Asking the database

    /// Reads from the database whatever may not have been heard until now.
    func askDatabase() async throws {
        let request = feed.withLock { $0.beginAsking() }
        try await reconciler.reconcile()
        let members = generator.state.withLock { Set($0.tracker.positions.keys) }
        let (actions, hasQuestions) = feed.withLock { feed in
            (feed.answered(request) { members.contains($0) }, feed.hasQuestions)
        }
        for action in actions { carryOut(action) }
        asksSoon.withLock { $0.hasFailed = false }
        // Rows of a writer that was not a member yet came after the snapshot, perhaps.
        if hasQuestions { reconcileSoon() }
        tellCaughtUp()
    }

    /// Asks the database in a moment, if that is still needed then; what asks for it in the meantime shares it.
    func reconcileSoon() {
        guard configuration.reconcileInterval != nil else { return }
        let isFirst = asksSoon.withLock { asks in
            // After a failure it is for the one that reconciles regularly to find out when the database is back.
            if asks.isDue || asks.hasFailed { return false }
            asks.isDue = true
            return true
        }
        guard isFirst else { return }
        Task { [weak self, time] in
            try? await time.sleep(for: .milliseconds(20))
            await self?.askIfNeeded()
        }
    }

    private func askIfNeeded() async {
        asksSoon.withLock { $0.isDue = false }
        let minimum = generator.minimumPersistedPosition
        guard feed.withLock({ $0.needsDatabase(minimum: minimum) }) else { return tellCaughtUp() }
        do {
            try await catchingUp.run { _ in try await self.askDatabase() }
        } catch {
            // It was logged and counted.
            asksSoon.withLock { $0.hasFailed = true }
        }
    }

    /// Lets the transport know, once on each connection.
    func tellCaughtUp() {
        guard let connection = connection.withLock({ $0 }) else { return }
        let minimum = generator.minimumPersistedPosition
        if feed.withLock({ $0.becameCaughtUp(minimum: minimum) }) { connection.caughtUp() }
    }
}

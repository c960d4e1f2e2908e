import Logging
import Synchronization

/// What the log does with what it hears; ``EventFeed`` decides.
extension EventLog {
    /// Called from the transport's thread: takes what is said at once, and leaves the database to others.
    func received(_ event: ReplicationEvent) {
        switch event {
        case .connected:
            feed.withLock { $0.connected() }
            announcer.connected()
            reconcileSoon()
        case .disconnected(let reason):
            feed.withLock { $0.disconnected() }
            logger.debug("replication is disconnected", metadata: ["reason": "\(reason)"])
        case .command(.replicate):
            announcer.announceNow()
        case .command(.position(let position)) where position.writer.epoch == 0:
            noticeOtherSoftware(position.stream, position.writer)
        case .command(.rdata(let row)) where row.writer.epoch == 0:
            noticeOtherSoftware(row.stream, row.writer)
        case .command(.position(let position)) where position.stream == stream:
            let standing = standing(of: position.speaker)
            hear { $0.received(position.heard, from: standing) }
        case .command(.rdata(let row)) where row.stream == stream:
            guard let heard = row.heard else { return }
            let standing = standing(of: row.speaker)
            hear { $0.received(heard, from: standing) }
        case .command:
            break
        }
    }

    private func hear(_ body: (inout EventFeed) -> EventFeed.Action) {
        let (action, hasQuestions) = feed.withLock { feed in (body(&feed), feed.hasQuestions) }
        carryOut(action)
        if hasQuestions { reconcileSoon() }
    }

    private func standing(of speaker: Speaker) -> EventFeed.Standing {
        let standing = generator.state.withLock { $0.tracker.standing(of: speaker) }
        if standing == .foreign { heardForeign(speaker) }
        return standing
    }

    /// Another database is on the same channel, or somebody speaks who did not join: said once.
    private func heardForeign(_ speaker: Speaker) {
        metrics.heardForeign()
        let isFirst = foreignTold.withLock { told in
            defer { told = true }
            return !told
        }
        guard isFirst else { return }
        logger.warning(
            "a writer of another database speaks on this channel: it is not heard; give each database a channel of its own",
            metadata: ["said_by": "\(speaker)"])
    }

    /// The members may have changed since the action was chosen: what is no member by now is not heard.
    private func carryOut(_ action: EventFeed.Action) {
        switch action {
        case .nothing:
            break
        case .advance(let writer, let position):
            generator.change { $0.advance(writer, to: position) }
        case .finish(let id, let writer):
            generator.change { $0.advance(writer, finished: id) }
        }
    }

    private func noticeOtherSoftware(_ stream: StreamName, _ writer: Writer) {
        feed.withLock { $0.heardOtherSoftware() }
        announcer.heardOtherSoftware(stream, writer)
    }

    /// What was heard cannot be true, and was taken back. Who said it speaks in the name of a writer, or is one that has
    /// lost its mind: whoever looks after the channel has to know.
    func heardFalsely(_ news: FalseNews) {
        // Where nobody is named, it was taken back before, or the next snapshot tells who it was.
        guard !news.writers.isEmpty else { return }
        metrics.heardFalsely(news.writers.count)
        feed.withLock { $0.takeBack(from: news.writers) }
        reconcileSoon()
        let now = time.now
        guard falseNewsTold.withLock({ $0.isDue(news.writers, now: now) }) else { return }
        logger.warning(
            "what was heard is above the sequence, and cannot be true: it counts for nothing",
            metadata: [
                "said_by": "\(news.writers.map(\.description).sorted().joined(separator: ", "))",
                "heard": "\(news.heard)", "sequence": "\(news.sequence)",
            ])
    }

    // MARK: Asking the database

    /// Reads from the database whatever may not have been heard until now.
    func askDatabase() async throws {
        let request = feed.withLock { $0.beginAsking() }
        try await reconciler.reconcile()
        let members = generator.state.withLock { $0.tracker.speakers }
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

import Logging
import Synchronization

extension MultiWriterIDGenerator {
    /// Gives IDs of a scope up: they stay in flight until the database has said what became of them. Asked again with
    /// growing delays, with a warning each time, for as long as the generator lives. The scope finds the abandonment
    /// when its body ends, and takes it away.
    @discardableResult
    func abandon(_ ids: [StreamID], scope: Int) -> Abandonment? {
        let abandonment = Abandonment(ids: ids)
        let isNew = state.withLock { state in
            let given = ids.filter { state.tracker.giveUp($0) }
            guard !given.isEmpty else { return false }
            state.abandonments[scope] = abandonment
            return true
        }
        guard isNew else { return state.withLock { $0.abandonments[scope] } }
        Task { [weak self, sequence, time] in
            var backoff = Backoff(shortest: .milliseconds(50), longest: .seconds(30))
            while let stream = self?.stream, !Task.isCancelled {
                do {
                    let committed = try await sequence.abandon(ids)
                    self?.settle(ids, committed: Set(committed))
                    return abandonment.report(.settled(committed: Set(committed)))
                } catch {
                    self?.logger.warning(
                        "IDs could not be abandoned and stay in flight; trying again",
                        metadata: ["ids": "\(ids.count) from \(ids[0])", "stream": "\(stream)", "error": "\(error)"])
                    abandonment.report(.unsettled)
                }
                let delay = backoff.nextDelay(random: .random(in: 0..<1))
                do { try await time.sleep(for: delay) } catch { return }
            }
        }
        return abandonment
    }

    /// IDs that nobody holds: an answer that came after its fetch was given up. They were never in flight, and no
    /// position waits for them; a tombstone lets the runs of finished IDs pass. One attempt is enough for that.
    func abandonLateAnswer(_ ids: [StreamID]) {
        Task { [weak self, sequence, logger] in
            do {
                let committed = try await sequence.abandon(ids)
                self?.recordLateAnswer(ids, committed: Set(committed))
            } catch {
                logger.warning(
                    "IDs that came too late could not be abandoned",
                    metadata: ["ids": "\(ids.count) from \(ids[0])", "error": "\(error)"])
            }
        }
    }

    private func recordLateAnswer(_ ids: [StreamID], committed: Set<StreamID>) {
        finishing { tracker in
            for id in ids { tracker.recordFinished(id...id) }
        } tell: { _, observer in
            observer.finished(
                committed: ids.filter(committed.contains), abandoned: ids.filter { !committed.contains($0) })
        }
    }

    private func settle(_ ids: [StreamID], committed: Set<StreamID>) {
        finishing { tracker in
            for id in ids { tracker.finish(id) }
        } tell: { _, observer in
            observer.finished(
                committed: ids.filter(committed.contains), abandoned: ids.filter { !committed.contains($0) })
        }
    }

    /// IDs that were finished before: they were closed, and their commit has survived that.
    func tellFinished(committed: [StreamID]) {
        guard let observer = state.withLock({ $0.observer }) else { return }
        observer.finished(committed: committed, abandoned: [])
        observer.positionsChanged()
    }

    // MARK: Time limits

    /// For how long at most the task that watches deadlines sleeps. It holds the generator meanwhile: a weak reference
    /// would make every other reference to it slower, for good.
    private static let longestSleep = Duration.seconds(30)

    /// Makes sure that somebody wakes up at the deadline of a scope. One task for all scopes, which wakes up when the
    /// earliest of them runs over, if it is still there.
    func watch(deadline: Duration, now: Duration, _ state: inout State) {
        let wakeAt = min(deadline, now + Self.longestSleep)
        if let earlier = state.expiry?.wakeAt, earlier <= wakeAt { return }
        state.expiry?.task.cancel()
        let task = Task { [time] in
            do { try await time.sleep(until: wakeAt) } catch { return }
            expire(at: wakeAt)
        }
        state.expiry = (wakeAt, task)
    }

    /// Lets the generator go at once when no scope runs any more, instead of when the task wakes up.
    func stopWatching() {
        state.withLock { state in
            guard state.tracker.inFlightCount == 0 else { return }
            state.expiry?.task.cancel()
            state.expiry = nil
        }
    }

    private func expire(at wakeAt: Duration) {
        let now = time.now
        let expired: [Int: [StreamID]] = state.withLock { state in
            // Another task, which wakes up earlier, took over in the meantime.
            guard state.expiry?.wakeAt == wakeAt else { return [:] }
            state.expiry = nil
            let expired = state.tracker.expired(at: now)
            if expired.isEmpty { watchEarliest(now: now, &state) }
            return expired
        }
        guard !expired.isEmpty else { return }
        for (scope, ids) in expired {
            logger.warning("a scope ran over its time limit", metadata: ["ids": "\(ids.count) from \(ids[0])"])
            abandon(ids, scope: scope)
        }
        state.withLock { watchEarliest(now: now, &$0) }
    }

    /// Not for each of many deadlines that lie close together: looking for them takes time.
    private func watchEarliest(now: Duration, _ state: inout State) {
        guard let next = state.tracker.earliestDeadline else { return }
        watch(deadline: max(next, now + .milliseconds(1)), now: now, &state)
    }
}

import Logging
import ServiceLifecycle
import Synchronization

extension EventLog {
    /// Keeps the log going until graceful shutdown, or until the task is cancelled; then ``shutDown()`` ends it.
    ///
    /// - Throws: ``TidemarkError/instanceTaken(stream:writer:by:)`` when another process took the name, or
    ///   ``TidemarkError/databaseWentBackwards(stream:id:problem:)``.
    public func run() async throws {
        let heartbeats = Task { await self.beatHearts() }
        let reconciling = Task { await self.reconcileInBackground() }
        let failure = await cancelWhenGracefulShutdown { await self.membership.failure() }
        heartbeats.cancel()
        reconciling.cancel()
        // In a task of its own, also when this one is cancelled: leaving is what makes readers not wait for this writer.
        let deadline = time.now + configuration.shutDownTimeLimit
        await shutDown()
        // What they still wait for is the database; nobody waits for them beyond the limit.
        _ = await limited(until: deadline, on: time) {
            await heartbeats.value
            await reconciling.value
        }
        if let failure { throw failure }
    }

    // MARK: Heartbeats

    private func beatHearts() async {
        guard let interval = configuration.heartbeatInterval else { return }
        while !Task.isCancelled {
            // On a grid that all logs of a process share, so that the store can write their heartbeats together.
            let beats = time.now / interval
            do {
                try await time.sleep(until: interval * (beats.rounded(.down) + 1))
            } catch {
                return
            }
            guard let writer = try? membership.currentWriter() else { return }
            do {
                try await beat(as: writer)
            } catch let error as TidemarkError where error.isFinal {
                return membership.fail(error)
            } catch is CancellationError {
                return
            } catch {
                logger.warning("a heartbeat could not be written", metadata: ["error": "\(error)"])
            }
        }
    }

    /// Writes the heartbeat of this instance, with the position that it promised before.
    func beat(as writer: Writer) async throws {
        let now = time.now
        let beat = generator.change { tracker in
            let lowest = tracker.lowestInFlight
            return Heartbeat(
                stream: stream, writer: writer, position: tracker.position ?? 0, inFlight: tracker.inFlightCount,
                lowestInFlight: lowest?.id,
                inFlightMilliseconds: lowest.map { Int64((now - $0.since) / .milliseconds(1)) } ?? 0)
        }
        let answers =
            if let closer {
                try await closer.recordWrite { try await store.heartbeat([beat]) }
            } else {
                try await store.heartbeat([beat])
            }
        guard let answer = answers.first else { return }
        switch answer {
        case .alive(let newestCommitted, let durablePosition):
            generator.change { tracker in
                tracker.recordKnown(newestCommitted)
                tracker.close(writer, through: durablePosition)
            }
        case .retired, .taken:
            _ = try await membership.rejoin(after: writer)
        }
    }

    // MARK: Reconciling

    private func reconcileInBackground() async {
        guard let configured = configuration.reconcileInterval else { return }
        let interval = min(configured, closer?.longestInterval ?? configured)
        var stall = StallWatch(limit: configuration.stallInterval)
        var warnings = RareLog(interval: .seconds(60))
        var standstills = RareLog(interval: .seconds(60))
        var last: Duration?
        while !Task.isCancelled {
            let now = time.now
            let (minimum, known) = generator.change { ($0.minimum, $0.highestKnown) }
            let isStalled = stall.isStalled(minimum: minimum, known: known, now: now)
            let heldBackFor = stall.duration(now: now)
            metrics.observed(minimum: minimum, newest: known, heldBackFor: heldBackFor)
            if isStalled || now - (last ?? (now - interval)) >= interval {
                last = now
                do {
                    let began = time.awake
                    try await askDatabase()
                    closer?.reconciled(since: began)
                    if membership.lastWriter != nil { try await checkStanding() }
                    if heldBackFor > configuration.silenceTimeout { try await tellStandstill(&standstills, now: now) }
                } catch let error as TidemarkError where error.isFinal {
                    return membership.fail(error)
                } catch is CancellationError {
                    return
                } catch {
                    if warnings.isDue(now: now) {
                        warnings.logged(now: now)
                        logger.warning("could not reconcile with the database", metadata: ["error": "\(error)"])
                    }
                }
            }
            do { try await time.sleep(for: configuration.stallInterval / 2) } catch { return }
        }
    }

    /// Says who holds the minimum back while events wait.
    private func tellStandstill(_ standstills: inout RareLog, now: Duration) async throws {
        guard standstills.isDue(now: now) else { return }
        let explanation = try await explain()
        guard let heldBackBy = explanation.heldBackBy else { return }
        standstills.logged(now: now)
        logger.warning(
            "events wait: the minimum has stood still",
            metadata: [
                "minimum": "\(explanation.minimum)", "newest_event": "\(explanation.newestEvent)",
                "held_back_by": "\(heldBackBy)",
            ])
    }
}

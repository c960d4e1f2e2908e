import Logging
import ServiceLifecycle
import Synchronization

extension EventLog {
    /// Keeps the log going until graceful shutdown, or until the task is cancelled; then what was handed in is
    /// persisted and the writer leaves.
    ///
    /// - Throws: ``TidemarkError/instanceTaken(stream:writer:by:)`` when another process took the name, or
    ///   ``TidemarkError/databaseWentBackwards(stream:id:problem:)``.
    public func run() async throws {
        let failure = await runUntilStopped()
        // Also when this task is cancelled: leaving is what makes readers not wait for this writer.
        await Task { await self.shutDown() }.value
        if let failure { throw failure }
    }

    private func runUntilStopped() async -> TidemarkError? {
        await cancelWhenGracefulShutdown {
            await withTaskGroup(of: TidemarkError?.self) { group in
                group.addTask { await self.beatHearts() }
                group.addTask { await self.reconcileInBackground() }
                group.addTask { await self.membership.failure() }
                // Each ends when the log fails or the task is cancelled, and not before.
                let failure = await group.next() ?? nil
                group.cancelAll()
                return failure
            }
        }
    }

    /// The orderly end: takes nothing more, persists what was handed in, leaves. What ``run()`` does at its end; for
    /// programs that do not run the log as a service.
    public func shutDown() async {
        await persister.drain(then: .stopped(stream: stream, instance: instance))
        guard membership.stop() else { return }
        announcer.stop()
        connecting.withLock { $0 }?.cancel()
        generator.wakeWaiters()
        generator.stopWatching()
        if let writer = membership.lastWriter {
            do {
                try await store.leave(stream, as: writer)
            } catch {
                logger.error(
                    "could not leave: readers wait until the writer is closed", metadata: ["error": "\(error)"])
            }
        }
        if let connection = connection.withLock({ $0.take() }) { await connection.close() }
    }

    // MARK: Heartbeats

    private func beatHearts() async -> TidemarkError? {
        guard let interval = configuration.heartbeatInterval else { return await membership.failure() }
        while !Task.isCancelled {
            // On a grid that all logs of a process share, so that the store can write their heartbeats together.
            let beats = time.now / interval
            do {
                try await time.sleep(until: interval * (beats.rounded(.down) + 1))
            } catch {
                return nil
            }
            guard let writer = try? membership.currentWriter() else {
                return await membership.failure()
            }
            do {
                try await beat(as: writer)
            } catch let error as TidemarkError where error.isFinal {
                membership.fail(error)
                return error
            } catch {
                logger.warning("a heartbeat could not be written", metadata: ["error": "\(error)"])
            }
        }
        return nil
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

    private func reconcileInBackground() async -> TidemarkError? {
        guard let configured = configuration.reconcileInterval else { return await membership.failure() }
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
                    membership.fail(error)
                    return error
                } catch {
                    if warnings.isDue(now: now) {
                        warnings.logged(now: now)
                        logger.warning("could not reconcile with the database", metadata: ["error": "\(error)"])
                    }
                }
            }
            do { try await time.sleep(for: configuration.stallInterval / 2) } catch { return nil }
        }
        return nil
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

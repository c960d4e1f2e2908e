import Logging
import Synchronization

extension EventPersister {
    /// How often a group is tried again that was closed or retired under way.
    private static let attempts = 5

    /// Commits the group. What it returns tells the callers, each of them once: what was committed, or why not; a
    /// failure that is one event's fault is only its own caller's.
    func commit(_ group: [PersistQueue<PersistCall>.Request]) async -> @Sendable () -> Void {
        let calls = group.map(\.caller)
        let events = calls.count == 1 ? calls[0].events : calls.flatMap(\.events)
        do {
            let waited = time.now - calls[0].since
            // A group that has hardly waited is committed on this thread, without a switch that its callers wait for.
            let outcomes =
                if waited < .milliseconds(1) {
                    try await commit(events)
                } else {
                    try await WriteWait.$before.withValue(waited) { try await commit(events) }
                }
            return {
                var rest = outcomes[...]
                for call in calls {
                    call.result.resolve(.success(Array(rest.prefix(call.events.count))))
                    rest = rest.dropFirst(call.events.count)
                }
            }
        } catch TidemarkError.invalidEvent where group.count > 1 {
            // A store may be stricter than the limits that were checked before.
            for request in group { await commit([request])() }
            return {}
        } catch let error as TidemarkError {
            guard case .writeLockHeld(_, _, let limit) = error else { return Self.failing(calls, error) }
            return Self.failing(overdue(group, limit: limit), error)
        } catch is CancellationError {
            return Self.failing(calls, stopped)
        } catch {
            return Self.failing(calls, error)
        }
    }

    private static func failing(_ calls: [PersistCall], _ error: any Error) -> @Sendable () -> Void {
        {
            for call in calls { call.result.resolve(.failure(error)) }
        }
    }

    /// The calls of a group that waited in vain for a lock which have waited for as long as the limit; the others wait
    /// on, before whatever came later.
    private func overdue(_ group: [PersistQueue<PersistCall>.Request], limit: Duration) -> [PersistCall] {
        let now = time.now
        // Whoever was first has: the store's own clock says so.
        let bound = min(limit, now - group[0].caller.since)
        let count = group.prefix { now - $0.caller.since >= bound }.count
        let rest = group.dropFirst(count).filter { !$0.caller.result.isResolved }
        state.withLock { $0.queue.putBack(rest) }
        return group.prefix(count).map(\.caller)
    }

    /// Why a group is cancelled: nothing else ends it before its end.
    private var stopped: TidemarkError {
        state.withLock { $0.stopped } ?? .stopped(stream: stream, instance: generator.instance)
    }

    private func commit(_ events: [Event]) async throws -> [PersistOutcome] {
        var attempt = 1
        while true {
            let writer = try generator.currentWriter()
            do {
                return try await transaction(events, as: writer)
            } catch TidemarkError.closed where attempt < Self.attempts {
                // The group's IDs were closed while it was under way: again under new ones.
            } catch let error as TidemarkError where error.endsEpoch && attempt < Self.attempts {
                _ = try await generator.rejoin(after: writer)
            } catch let error as TidemarkError where error.isFinal {
                generator.fail(error)
                throw error
            }
            attempt += 1
        }
    }

    /// One transaction on this thread. Nil where it would have to wait, and where the writer has to join first or its
    /// IDs were closed: what then has to be done takes a while.
    func commitImmediately(_ events: [Event], _ store: any ImmediateEventStore) throws -> [PersistOutcome]? {
        let writer = try generator.currentWriter()
        do {
            return try transactionImmediately(events, as: writer, store)
        } catch TidemarkError.closed {
            return nil
        } catch let error as TidemarkError where error.endsEpoch {
            return nil
        } catch let error as TidemarkError where error.isFinal {
            generator.fail(error)
            throw error
        }
    }

    private func transactionImmediately(
        _ events: [Event], as writer: Writer, _ store: any ImmediateEventStore
    ) throws -> [PersistOutcome]? {
        let fetch = try beginFetch()
        let outcomes: [PersistOutcome]?
        do {
            outcomes = try store.persistImmediately(events, in: stream, by: writer, known: fetch.floor)
        } catch {
            generator.change { $0.abortFetch(fetch.number, now: $1) }
            throw error
        }
        if let outcomes {
            try endFetch(fetch.number, events, outcomes)
        } else {
            generator.change { $0.abortFetch(fetch.number, now: $1) }
        }
        return outcomes
    }

    /// One transaction, in which the store allocates the IDs. Until its end they count as a fetch in progress.
    private func transaction(_ events: [Event], as writer: Writer) async throws -> [PersistOutcome] {
        let fetch = try beginFetch()
        let outcomes: [PersistOutcome]
        do {
            outcomes = try await store.persist(events, in: stream, by: writer, known: fetch.floor)
        } catch {
            generator.change { $0.abortFetch(fetch.number, now: $1) }
            throw error
        }
        try endFetch(fetch.number, events, outcomes)
        return outcomes
    }

    private func beginFetch() throws -> (number: Int, floor: StreamID) {
        do {
            return try generator.state.withLock { state throws(AllocationFailure) in try state.machine.beginFetch() }
        } catch {
            throw generator.described(error)
        }
    }

    /// The others hear of it first: they have nobody else to hear it from.
    private func endFetch(_ fetch: Int, _ events: [Event], _ outcomes: [PersistOutcome]) throws {
        metrics.committed(outcomes)
        var ids: [StreamID] = []
        var eventIDs: [String] = []
        ids.reserveCapacity(outcomes.count)
        eventIDs.reserveCapacity(outcomes.count)
        for (event, outcome) in zip(events, outcomes) {
            guard case .persisted(let id) = outcome else { continue }
            ids.append(id)
            eventIDs.append(event.id)
        }
        do {
            try generator.change { machine, now throws(AllocationFailure) in
                try machine.committed(ids, events: eventIDs, in: fetch, now: now)
            }
        } catch {
            throw generator.described(error)
        }
    }
}

import Logging
import Synchronization

extension EventPersister {
    /// How often a group is tried again that was closed or retired under way.
    private static let attempts = 5

    /// The events of a group, and the calls that they come from.
    struct Events: Sendable {
        let all: [Event]
        let calls: [EventGroup.Call]
    }

    /// Commits the group. What it returns tells the callers, each of them once: what was committed, or why not; a
    /// failure that is one event's fault is only its own caller's.
    func commit(_ group: [PersistQueue<PersistCall>.Request]) async -> @Sendable () -> Void {
        let calls = group.map(\.caller)
        let events = Events(
            all: calls.count == 1 ? calls[0].events : calls.flatMap(\.events),
            calls: calls.map { EventGroup.Call(events: $0.events.count, condition: $0.condition) })
        do {
            let waited = time.now - calls[0].since
            // A group that has hardly waited is committed on this thread, without a switch that its callers wait for.
            let persisted =
                if waited < .milliseconds(1) {
                    try await commit(events)
                } else {
                    try await WriteWait.$before.withValue(waited) { try await commit(events) }
                }
            if !persisted.refusals.isEmpty { putBack(group, leftOutOf: persisted) }
            return {
                var rest = persisted.outcomes[...]
                for (number, call) in calls.enumerated() {
                    switch persisted.refusals[number] {
                    case nil:
                        call.result.resolve(.success(Array(rest.prefix(call.events.count))))
                        rest = rest.dropFirst(call.events.count)
                    case .failed(let error): call.result.resolve(.failure(error))
                    case .leftOut: break
                    }
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

    /// Calls whose keys were not free wait again, before all others.
    private func putBack(_ group: [PersistQueue<PersistCall>.Request], leftOutOf persisted: PersistedGroup) {
        let leftOut = group.enumerated().filter { number, request in
            persisted.refusals[number] == .leftOut && !request.caller.result.isResolved
        }.map(\.element)
        if leftOut.isEmpty { return }
        state.withLock { $0.queue.putBack(leftOut) }
    }

    /// Of a group that waited for a lock in vain: the calls that have waited for as long as the limit. The others go on
    /// waiting, before all that came later.
    private func overdue(_ group: [PersistQueue<PersistCall>.Request], limit: Duration) -> [PersistCall] {
        let now = time.now
        // The first call has: the store's own clock says so.
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

    private func commit(_ events: Events) async throws -> PersistedGroup {
        var attempt = 1
        while true {
            let writer = try generator.currentWriter()
            do {
                return try await transaction(events, as: writer)
            } catch TidemarkError.closed where attempt < Self.attempts {
                // The group's IDs were closed while it was under way: again under new ones.
            } catch TidemarkError.fenced where attempt < Self.attempts {
                // Groups of unknown outcome were settled meanwhile: again with the newest fence.
            } catch is NeverCommitted {
                guard attempt < Self.attempts else {
                    throw TidemarkError.storeUnavailable(
                        store: "\(store)", problem: "it lost the same group \(attempt) times")
                }
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
    func commitImmediately(
        _ events: [Event], _ condition: KeyCondition?, _ store: any ImmediateEventStore
    ) throws -> [PersistOutcome]? {
        if state.withLock({ $0.settling != nil }) { return nil }
        let writer = try generator.currentWriter()
        do {
            let call = EventGroup.Call(events: events.count, condition: condition)
            let persisted = try transactionImmediately(Events(all: events, calls: [call]), as: writer, store)
            switch persisted?.refusals[0] {
            case nil: return persisted?.outcomes
            case .failed(let error): throw error
            case .leftOut: return nil
            }
        } catch TidemarkError.closed, TidemarkError.fenced {
            return nil
        } catch let error as TidemarkError where error.endsEpoch {
            return nil
        } catch let error as TidemarkError where error.isFinal {
            generator.fail(error)
            throw error
        }
    }

    private func transactionImmediately(
        _ events: Events, as writer: Writer, _ store: any ImmediateEventStore
    ) throws -> PersistedGroup? {
        let fetch = try beginFetch()
        let group = EventGroup(
            events.all, in: stream, by: writer, known: fetch.floor, fence: fetch.fence, calls: events.calls)
        let persisted: PersistedGroup?
        do {
            persisted = try store.persistImmediately(group)
        } catch TidemarkError.outcomeUnknown(_, _, let problem) {
            // Its caller waits in the queue until that is known, and then persists the same ids again.
            settleLater(UnsettledGroup(group: group, fetch: fetch.number), problem)
            return nil
        } catch {
            refused(group, fetch.number, error)
            throw error
        }
        if let persisted {
            try endFetch(fetch.number, group, persisted)
        } else {
            generator.change { $0.abortFetch(fetch.number, now: $1) }
        }
        return persisted
    }

    /// One transaction, in which the store allocates the IDs. Until its end they count as a fetch in progress; where its
    /// outcome is not known, until the database has told it (rule 5).
    private func transaction(_ events: Events, as writer: Writer) async throws -> PersistedGroup {
        try await settled()
        let fetch = try beginFetch()
        let group = EventGroup(
            events.all, in: stream, by: writer, known: fetch.floor, fence: fetch.fence, calls: events.calls)
        let persisted: PersistedGroup
        do {
            persisted = try await store.persist(group)
        } catch TidemarkError.outcomeUnknown(_, _, let problem) {
            settleLater(UnsettledGroup(group: group, fetch: fetch.number), problem)
            return try await outcome(of: group, problem)
        } catch {
            refused(group, fetch.number, error)
            throw error
        }
        try endFetch(fetch.number, group, persisted)
        return persisted
    }

    /// Nothing of the group can be committed.
    private func refused(_ group: EventGroup, _ fetch: Int, _ error: any Error) {
        generator.change { machine, now in
            if case TidemarkError.fenced(_, let writer, let fence) = error { machine.fenced(writer, at: fence) }
            machine.abortFetch(fetch, now: now)
        }
    }

    private func beginFetch() throws -> (number: Int, floor: StreamID, fence: Int64) {
        do {
            return try generator.state.withLock { state throws(AllocationFailure) in
                let fetch = try state.machine.beginFetch()
                return (fetch.number, fetch.floor, state.machine.fence)
            }
        } catch {
            throw generator.described(error)
        }
    }

    /// The others hear of it first: they have nobody else to hear it from.
    func endFetch(_ fetch: Int, _ group: EventGroup, _ persisted: PersistedGroup) throws {
        metrics.committed(persisted.outcomes)
        for case .failed(.conflict) in persisted.refusals.values { metrics.conflicted() }
        let events = group.events(heldBy: persisted)
        var ids: [StreamID] = []
        var eventIDs: [String] = []
        ids.reserveCapacity(events.count)
        eventIDs.reserveCapacity(events.count)
        for (event, outcome) in zip(events, persisted.outcomes) {
            guard case .persisted(let id) = outcome else { continue }
            ids.append(id)
            eventIDs.append(event.id)
        }
        do {
            try generator.change { machine, now throws(AllocationFailure) in
                try machine.committed(ids, events: eventIDs, tombstones: persisted.tombstones, in: fetch, now: now)
            }
        } catch {
            throw generator.described(error)
        }
    }
}

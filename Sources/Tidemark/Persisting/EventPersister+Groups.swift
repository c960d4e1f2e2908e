import Logging

extension EventPersister {
    /// How often a group is tried again that was closed or retired under way.
    private static let attempts = 5

    /// Commits the group. What it returns tells the callers, each of them once: what was committed, or why not; a
    /// failure that is one event's fault is only its own caller's.
    func commit(_ group: [PersistQueue.Request]) async -> @Sendable () -> Void {
        let events = group.count == 1 ? group[0].events : group.flatMap(\.events)
        do {
            let outcomes = try await commit(events)
            return { [onCommit, generator] in
                var rest = outcomes[...]
                for request in group {
                    request.result.resolve(.success(Array(rest.prefix(request.events.count))))
                    rest = rest.dropFirst(request.events.count)
                }
                onCommit(events, outcomes)
                generator.told()
            }
        } catch TidemarkError.invalidEvent where group.count > 1 {
            // A store may be stricter than the limits that were checked before.
            for request in group { await commit([request])() }
            return {}
        } catch {
            return {
                for request in group { request.result.resolve(.failure(error)) }
            }
        }
    }

    private func commit(_ events: [Event]) async throws -> [PersistOutcome] {
        var attempt = 1
        while true {
            let writer = try membership.currentWriter()
            do {
                return try await transaction(events, as: writer)
            } catch TidemarkError.closed where attempt < Self.attempts {
                // The group's IDs were closed while it was under way: again under new ones.
            } catch let error as TidemarkError where error.endsEpoch && attempt < Self.attempts {
                _ = try await membership.rejoin(after: writer)
            } catch let error as TidemarkError where error.isFinal {
                membership.fail(error)
                throw error
            }
            attempt += 1
        }
    }

    /// One transaction on this thread. Nil where it would have to wait, and where the writer has to join first or its
    /// IDs were closed: what then has to be done takes a while.
    func commitImmediately(_ events: [Event], _ store: any ImmediateEventStore) throws -> [PersistOutcome]? {
        let writer = try membership.currentWriter()
        do {
            let outcomes = try transactionImmediately(events, as: writer, store)
            if let outcomes {
                onCommit(events, outcomes)
                generator.told()
            }
            return outcomes
        } catch TidemarkError.closed {
            return nil
        } catch let error as TidemarkError where error.endsEpoch {
            return nil
        } catch let error as TidemarkError where error.isFinal {
            membership.fail(error)
            throw error
        }
    }

    private func transactionImmediately(
        _ events: [Event], as writer: Writer, _ store: any ImmediateEventStore
    ) throws -> [PersistOutcome]? {
        let (fetch, known) = try beginFetch()
        let outcomes: [PersistOutcome]?
        do {
            outcomes = try store.persistImmediately(events, in: stream, by: writer, known: known)
        } catch {
            generator.change { $0.abortFetch(fetch) }
            throw error
        }
        if let outcomes {
            try endFetch(fetch, outcomes)
        } else {
            generator.change { $0.abortFetch(fetch) }
        }
        return outcomes
    }

    /// One transaction, in which the store allocates the IDs. Until its end they count as a fetch in progress.
    private func transaction(_ events: [Event], as writer: Writer) async throws -> [PersistOutcome] {
        let (fetch, known) = try beginFetch()
        let outcomes: [PersistOutcome]
        do {
            outcomes = try await store.persist(events, in: stream, by: writer, known: known)
        } catch {
            generator.change { $0.abortFetch(fetch) }
            throw error
        }
        try endFetch(fetch, outcomes)
        return outcomes
    }

    private func beginFetch() throws -> (fetch: Int, known: StreamID) {
        do {
            return try generator.change { tracker throws(AllocationFailure) in
                (try tracker.beginFetch(), tracker.floor)
            }
        } catch {
            throw generator.described(error)
        }
    }

    /// Whoever tells the callers tells of the rows, too.
    private func endFetch(_ fetch: Int, _ outcomes: [PersistOutcome]) throws {
        let persisted = outcomes.compactMap { outcome in
            if case .persisted(let id) = outcome { id } else { nil }
        }
        let (result, _) = generator.changeObserved(finishing: true) { tracker throws(AllocationFailure) in
            try tracker.endFetch(fetch, committed: persisted)
        }
        do {
            try result.get()
        } catch {
            generator.told()
            throw generator.described(error)
        }
    }
}

import Synchronization

/// Scopes of one ID from a sequence that never waits: the same steps as in any scope, without a task and without an
/// array.
extension MultiWriterIDGenerator {
    nonisolated(nonsending) func withImmediateID<R>(
        from sequence: any ImmediateStreamIDSequence, timeLimit: Duration,
        _ body: nonisolated(nonsending) (StreamID) async throws -> R
    ) async throws -> R {
        let (id, scope) = try reserveImmediately(from: sequence, limit: timeLimit)
        let result: R
        do {
            result = try await body(outward(id))
        } catch {
            await give(up: [id], of: Reservation(scope: scope, ids: [id], limit: timeLimit))
            throw error
        }
        if !finishHeld(id) {
            let reservation = Reservation(scope: scope, ids: [id], limit: timeLimit)
            // One that was not held was closed, which its commit has survived, or the scope had expired.
            if let abandonment = takeAbandonment(of: reservation) {
                try await outcomeOfExpired(abandonment, reservation, needed: [id])
            } else {
                tellFinished(committed: [id])
            }
        }
        return result
    }

    private func reserveImmediately(
        from sequence: any ImmediateStreamIDSequence, limit: Duration
    ) throws -> (id: StreamID, scope: Int) {
        try Task.checkCancellation()
        let since = time.now
        let deadline = since + limit
        do {
            let fetch = try state.withLock { state throws(AllocationFailure) in try state.tracker.beginFetch() }
            let id: StreamID
            do {
                id = try sequence.nextImmediately()
            } catch {
                change { $0.abortFetch(fetch) }
                throw error
            }
            return try state.withLock { state throws(AllocationFailure) in
                state.lastScope += 1
                try state.tracker.endFetch(
                    fetch, with: id, scope: state.lastScope, since: since, deadline: deadline)
                watch(deadline: deadline, now: since, &state)
                return (id, state.lastScope)
            }
        } catch let failure as AllocationFailure {
            throw described(failure)
        }
    }

    /// Finishes the ID, unless its scope has no say any more; whether it was held.
    private func finishHeld(_ id: StreamID) -> Bool {
        finishing {
            $0.finishHeld(id)
        } tell: { wasHeld, observer in
            if wasHeld { observer.finished(committed: [id], abandoned: []) }
        }
    }
}

import Synchronization

extension MultiWriterIDGenerator {
    /// IDs that a scope holds, counted upwards.
    struct Reservation: Sendable {
        let scope: Int
        let ids: [StreamID]
        let limit: Duration
    }

    /// Asks the sequence, for at most as long as the scope may take.
    ///
    /// - Throws: ``TidemarkError``, `CancellationError`, or what the sequence throws.
    nonisolated(nonsending) func reserve(_ count: Int, limit: Duration) async throws -> Reservation {
        try Task.checkCancellation()
        let since = time.now
        let deadline = since + limit
        let fetch: Int
        do {
            // Nobody has to hear of it: what a fetch does to the position shows when something becomes known meanwhile.
            fetch = try state.withLock { state throws(AllocationFailure) in try state.tracker.beginFetch() }
        } catch {
            throw described(error)
        }
        let ids: [StreamID]
        do {
            if let immediateSequence {
                ids = try immediateSequence.nextImmediately(count)
            } else {
                ids = try await answer(count, until: deadline, limit: limit)
            }
        } catch {
            change { $0.abortFetch(fetch) }
            throw error
        }
        do {
            let scope = try state.withLock { state throws(AllocationFailure) in
                state.lastScope += 1
                // Nothing that others wait for changes here: the position is at the floor, or below it.
                try state.tracker.endFetch(
                    fetch, with: ids, asked: count, scope: state.lastScope, since: since, deadline: deadline)
                watch(deadline: deadline, now: since, &state)
                return state.lastScope
            }
            return Reservation(scope: scope, ids: ids, limit: limit)
        } catch {
            throw described(error)
        }
    }

    /// The sequence's answer, where it comes before the deadline. One that comes later, or after the caller was
    /// cancelled, is abandoned.
    private nonisolated(nonsending) func answer(
        _ count: Int, until deadline: Duration, limit: Duration
    ) async throws -> [StreamID] {
        enum Answer: Sendable {
            case ids([StreamID])
            case failure(any Error)
            case late
            case cancelled
        }
        let waiter = Waiter<Answer>()
        // Runs at once up to where the sequence has to wait. It holds the generator for as long as the sequence takes: a
        // weak reference would make every other reference to the generator slower, for good.
        let task = Task.immediate {
            do {
                let ids = try await sequence.next(count)
                // The floor was given up with the fetch: nothing waits for these any more.
                if !waiter.resolve(.ids(ids)), !ids.isEmpty { abandonLateAnswer(ids) }
            } catch {
                waiter.resolve(.failure(error))
            }
        }
        switch await waiter.value(until: deadline, on: time, late: .late, cancelled: .cancelled) {
        case .ids(let ids): return ids
        case .failure(let error): throw error
        case .late:
            task.cancel()
            throw TidemarkError.sequenceTimedOut(stream: stream, instance: instance, limit: limit)
        case .cancelled:
            task.cancel()
            throw CancellationError()
        }
    }

    func described(_ failure: AllocationFailure) -> TidemarkError {
        switch failure {
        case .notAMember: notAMember
        case .late: .invalidSequenceAnswer(stream: stream, instance: instance, problem: "the fetch was over")
        case .wentBackwards(let id, let floor):
            .sequenceWentBackwards(stream: stream, instance: instance, id: outward(id), known: outward(floor))
        case .wrongCount(let asked, let got):
            .invalidSequenceAnswer(
                stream: stream, instance: instance, problem: "\(asked) were asked for, \(got) came")
        case .notAscending(let id):
            .invalidSequenceAnswer(stream: stream, instance: instance, problem: "\(id) is out of order")
        case .handedOutTwice(let id):
            .invalidSequenceAnswer(stream: stream, instance: instance, problem: "\(id) is in flight already")
        }
    }

    private var notAMember: TidemarkError {
        // Whether another process has the name, or nobody, only the database can tell: who joins again is told.
        if let writer = change({ $0.pinned }) { return .retired(stream: stream, writer: writer) }
        return .notAMember(stream: stream, instance: instance)
    }
}

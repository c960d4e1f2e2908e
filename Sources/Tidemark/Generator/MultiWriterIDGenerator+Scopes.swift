import Logging
import Synchronization

extension MultiWriterIDGenerator {
    /// Allocates an ID for as long as `body` runs. Returning says that the event's commit was acknowledged, or that
    /// there is none and never will be; throwing has the ID abandoned before the error goes to the caller. The body is
    /// never run twice.
    ///
    /// - Parameters:
    ///   - timeLimit: for the allocation and the body together. When it runs over, the ID is abandoned while the body
    ///     goes on, and readers do not wait for it any more.
    ///   - body: persists the event under its ID.
    /// - Throws: what the body throws; ``TidemarkError/reservationExpired(stream:instance:ids:limit:)`` when it
    ///   returned too late and the event is not there; ``TidemarkError/sequenceTimedOut(stream:instance:limit:)``;
    ///   ``TidemarkError/notAMember(stream:instance:)``; or what the sequence throws.
    @discardableResult
    public nonisolated(nonsending) func withNextID<R>(
        timeLimit: Duration = .seconds(30), _ body: nonisolated(nonsending) (StreamID) async throws -> R
    ) async throws -> R {
        if let immediateSequence {
            return try await withImmediateID(from: immediateSequence, timeLimit: timeLimit, body)
        }
        return try await withNextIDs(1, timeLimit: timeLimit) { try await body($0[0]) }
    }

    /// The same for several IDs, which ascend (descend in a backward stream) and need not be adjacent.
    @discardableResult
    public nonisolated(nonsending) func withNextIDs<R>(
        _ count: Int, timeLimit: Duration = .seconds(30),
        _ body: nonisolated(nonsending) ([StreamID]) async throws -> R
    ) async throws -> R {
        try await withReservation(count, timeLimit: timeLimit, acknowledged: { _ in true }, body)
    }

    /// The same, for a caller that passes the actor on which it runs.
    @discardableResult
    public func withNextID<R>(
        timeLimit: Duration = .seconds(30), isolation: isolated (any Actor)?,
        _ body: nonisolated(nonsending) (StreamID) async throws -> R
    ) async throws -> R {
        try await withNextID(timeLimit: timeLimit, body)
    }

    /// The same, for a caller that passes the actor on which it runs.
    @discardableResult
    public func withNextIDs<R>(
        _ count: Int, timeLimit: Duration = .seconds(30), isolation: isolated (any Actor)?,
        _ body: nonisolated(nonsending) ([StreamID]) async throws -> R
    ) async throws -> R {
        try await withNextIDs(count, timeLimit: timeLimit, body)
    }

    /// - Parameter acknowledged: says of each ID, after the body has returned, whether its commit was acknowledged. IDs for
    ///   which it says no are abandoned.
    nonisolated(nonsending) func withReservation<R>(
        _ count: Int, timeLimit: Duration, acknowledged: (StreamID) -> Bool,
        _ body: nonisolated(nonsending) ([StreamID]) async throws -> R
    ) async throws -> R {
        precondition(count >= 0, "a count of IDs cannot be negative")
        if count == 0 { return try await body([]) }
        let reservation = try await reserve(count, limit: timeLimit)
        let result: R
        do {
            result = try await body(reservation.ids.map(outward))
        } catch {
            await give(up: reservation.ids, of: reservation)
            throw error
        }
        let unacknowledged = reservation.ids.filter { !acknowledged(outward($0)) }
        try await complete(reservation, but: unacknowledged)
        return result
    }

    /// A scope of one ID from a sequence that never waits: the same steps, without a task and without an array.
    private nonisolated(nonsending) func withImmediateID<R>(
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
        if change({ $0.finish(id, now: $1) }) { return result }
        try await endUnheld([id], of: Reservation(scope: scope, ids: [id], limit: timeLimit))
        return result
    }

    private nonisolated(nonsending) func complete(
        _ reservation: Reservation, but unacknowledged: [StreamID]
    ) async throws {
        // A set: a scope may have many of both.
        let given = Set(unacknowledged)
        let committed = given.isEmpty ? reservation.ids : reservation.ids.filter { !given.contains($0) }
        if !committed.isEmpty, !change({ $0.finish(committed, now: $1) }) {
            if try await endUnheld(committed, of: reservation) { return }
        }
        if !unacknowledged.isEmpty { await give(up: unacknowledged, of: reservation) }
    }

    /// The scope says that it committed IDs that it did not hold any more. Either they were closed, after their commit; or the
    /// scope had run over its limit, and then the database knows.
    ///
    /// - Returns: whether the scope had run over its limit.
    @discardableResult
    private nonisolated(nonsending) func endUnheld(
        _ ids: [StreamID], of reservation: Reservation
    ) async throws -> Bool {
        guard let abandonment = takeAbandonment(of: reservation) else {
            change { $0.committedThoughClosed(ids, now: $1) }
            return false
        }
        let outcome = await abandonment.outcome(until: time.now + abandonLimit, on: time)
        if case .settled(let committed, let pruned) = outcome {
            if committed.isSuperset(of: ids) { return true }
            if let pruned, let first = ids.min(), first <= pruned {
                throw TidemarkError.pruned(
                    stream: stream, after: outward(StreamID(first.rawValue - 1)), through: outward(pruned))
            }
        }
        throw TidemarkError.reservationExpired(
            stream: stream, instance: instance, ids: reservation.ids.map(outward), limit: reservation.limit)
    }

    // MARK: Fetching

    /// IDs that a scope holds, counted upwards.
    struct Reservation: Sendable {
        let scope: Int
        let ids: [StreamID]
        let limit: Duration
    }

    /// Asks the sequence, for at most as long as the scope may take.
    ///
    /// - Throws: ``TidemarkError``, `CancellationError`, or what the sequence throws.
    private nonisolated(nonsending) func reserve(_ count: Int, limit: Duration) async throws -> Reservation {
        try Task.checkCancellation()
        let since = time.now
        let deadline = since + limit
        let (fetch, incarnation) = try begunFetch()
        let ids: [StreamID]
        do {
            if let immediateSequence {
                ids = try immediateSequence.nextImmediately(count)
            } else {
                ids = try await answer(count, of: incarnation, until: deadline, limit: limit)
            }
        } catch {
            change { $0.abortFetch(fetch, now: $1) }
            throw error
        }
        do {
            let scope = try change { machine, _ throws(AllocationFailure) in
                try machine.endFetch(fetch, with: ids, asked: count, since: since, deadline: deadline)
            }
            return Reservation(scope: scope, ids: ids, limit: limit)
        } catch {
            throw described(error)
        }
    }

    private func reserveImmediately(
        from sequence: any ImmediateStreamIDSequence, limit: Duration
    ) throws -> (id: StreamID, scope: Int) {
        try Task.checkCancellation()
        let since = time.now
        let fetch = try begunFetch().number
        let id: StreamID
        do {
            id = try sequence.nextImmediately()
        } catch {
            change { $0.abortFetch(fetch, now: $1) }
            throw error
        }
        do {
            let scope = try change { machine, _ throws(AllocationFailure) in
                try machine.endFetch(fetch, with: id, since: since, deadline: since + limit)
            }
            return (id, scope)
        } catch {
            throw described(error)
        }
    }

    /// Its number, and the incarnation that the IDs are asked of.
    private func begunFetch() throws -> (number: Int, incarnation: Incarnation) {
        do {
            return try state.withLock { state throws(AllocationFailure) in
                (try state.machine.beginFetch().number, state.machine.writersIncarnation)
            }
        } catch {
            throw described(error)
        }
    }

    /// The sequence's answer, where it comes before the deadline. One that comes later, or after the caller was
    /// cancelled, is abandoned.
    private nonisolated(nonsending) func answer(
        _ count: Int, of incarnation: Incarnation, until deadline: Duration, limit: Duration
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
                let ids = try await nextIDs(count)
                // The floor was given up with the fetch: nothing waits for these any more.
                if !waiter.resolve(.ids(ids)) { changeNow { $0.answeredLate(with: ids, of: incarnation, now: $1) } }
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

    /// New IDs from the sequence.
    func nextIDs(_ count: Int) async throws -> [StreamID] {
        guard let log else { return try await sequence?.next(count) ?? [] }
        let writer = try currentWriter()
        do {
            return try await log.store.allocate(count, in: stream, for: writer)
        } catch let error as TidemarkError where error.endsEpoch {
            let writer = try await rejoin(after: writer)
            return try await log.store.allocate(count, in: stream, for: writer)
        }
    }

    /// Makes sure that none of these IDs can be committed from now on.
    private func abandonIDs(_ given: StreamMachine.GivenUpIDs) async throws -> AbandonedIDs {
        guard let log else { return try await sequence?.abandon(given.ids, allocatedIn: nil) ?? AbandonedIDs() }
        // An epoch that is over may still give its IDs up.
        guard let writer = lastWriter else { return AbandonedIDs() }
        return try await log.store.abandon(given.ids, allocatedIn: given.incarnation, in: stream, by: writer)
    }

    func described(_ failure: AllocationFailure) -> TidemarkError {
        switch failure {
        case .notAMember: notAMember
        // Another incarnation of the database has begun since.
        case .late: notAMember
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
        // Only the database can tell whether another process has the name, or nobody: it says so when this one joins again.
        if let writer = state.withLock({ $0.machine.pinned }) { return .retired(stream: stream, writer: writer) }
        return .notAMember(stream: stream, instance: instance)
    }

    /// Whether a scope still holds the ID.
    func holds(_ id: StreamID) -> Bool {
        state.withLock { $0.machine.holds(direction.counted(id)) }
    }

    /// IDs of a scope whose commits were acknowledged, although the scope itself fails.
    func finish(_ ids: [StreamID]) {
        guard !ids.isEmpty else { return }
        change { _ = $0.finish(ids.map(direction.counted), now: $1) }
    }

    // MARK: Whether it writes

    /// - Throws: why this instance does not write.
    func currentWriter() throws -> Writer {
        try state.withLock { state throws(TidemarkError) in
            if let failure = state.failure { throw failure }
            if state.machine.isStopped { throw .stopped(stream: stream, instance: instance) }
            guard let writer = state.machine.writer else { throw .notAMember(stream: stream, instance: instance) }
            return writer
        }
    }

    /// The incarnation that hands this instance's IDs out.
    var writersIncarnation: Incarnation { state.withLock { $0.machine.writersIncarnation } }

    /// Reading goes on after another process took the name; it ends with the log, and with the database.
    func checkRunning() throws {
        try state.withLock { state throws(TidemarkError) in
            if let failure = state.failure, failure.endsReading { throw failure }
            if state.machine.isStopped { throw .stopped(stream: stream, instance: instance) }
        }
    }

    var failureSoFar: TidemarkError? { state.withLock { $0.failure } }
    /// The last epoch, whether or not it may still write; nil for a reader.
    var lastWriter: Writer? { state.withLock { $0.machine.writer } }

    /// Joins again when the members say that this writer was retired.
    ///
    /// - Throws: why this instance does not write.
    func checkStanding() async throws {
        let writer = try currentWriter()
        if state.withLock({ $0.machine.hasLostMembership }) { _ = try await rejoin(after: writer) }
    }

    // MARK: Abandoning

    /// The IDs stay in flight until the database has said what became of them; this waits for that, for a while.
    private nonisolated(nonsending) func give(up ids: [StreamID], of reservation: Reservation) async {
        changeNow { _ = $0.giveUp(ids, scope: reservation.scope, now: $1) }
        let abandonment = state.withLock { $0.abandonments[reservation.scope] }
        _ = await abandonment?.outcome(until: time.now + abandonLimit, on: time)
        _ = takeAbandonment(of: reservation)
    }

    private func takeAbandonment(of reservation: Reservation) -> Abandonment? {
        state.withLock { state in
            state.abandonments.isEmpty ? nil : state.abandonments.removeValue(forKey: reservation.scope)
        }
    }

    /// Asks the database what became of IDs that were given up. A scope finds the answer when its body ends, and takes it
    /// away.
    func abandon(_ given: StreamMachine.GivenUpIDs) async {
        let (scope, ids) = (given.scope, given.ids)
        do {
            let answer = try await abandonIDs(given)
            let committed = Set(answer.committed)
            changeNow {
                $0.abandoned(
                    scope, committed: committed, void: Set(answer.void), pruned: Set(answer.pruned), now: $1)
            }
            state.withLock { $0.abandonments[scope] }?.report(
                .settled(committed: committed, pruned: answer.pruned.max()))
        } catch {
            logger.warning(
                "IDs could not be abandoned and stay in flight; trying again",
                metadata: ["ids": "\(ids.count) from \(outward(ids[0]))", "error": "\(error)"])
            changeNow { $0.abandonFailed(scope, random: .random(in: 0..<1), now: $1) }
            state.withLock { $0.abandonments[scope] }?.report(.unsettled)
        }
    }
}

/// What becomes of the IDs that one scope has given up, as far as the database has said so.
final class Abandonment: Sendable {
    private let state = Mutex<State>(State())

    private struct State {
        /// Which of the IDs hold an event; nil until the database has said so.
        var outcome: Outcome?
        var waiters: [Waiter<Outcome>] = []
    }

    enum Outcome: Sendable {
        /// Tombstones hold the IDs, except those that are `committed`, which hold an event. For IDs up to `pruned` that may not
        /// be known any more.
        case settled(committed: Set<StreamID>, pruned: StreamID?)
        /// The database has not said yet; it is asked again in the background.
        case unsettled
    }

    /// What came of the first attempt, or of a later one; unsettled when that takes longer than the deadline.
    func outcome(until deadline: Duration, on time: TimeSource) async -> Outcome {
        let waiter = Waiter<Outcome>()
        let outcome = state.withLock { state in
            if state.outcome == nil { state.waiters.append(waiter) }
            return state.outcome
        }
        if let outcome { return outcome }
        // Not given up when the caller is cancelled: that the ID is settled matters to everyone else.
        let timer = Task {
            do { try await time.sleep(until: deadline) } catch { return }
            waiter.resolve(.unsettled)
        }
        defer { timer.cancel() }
        return await waiter.value()
    }

    func report(_ outcome: Outcome) {
        let waiters = state.withLock { state in
            state.outcome = outcome
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resolve(outcome) }
    }
}

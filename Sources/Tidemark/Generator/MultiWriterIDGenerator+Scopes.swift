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

    /// The same, for who passes on where it runs.
    @discardableResult
    public func withNextID<R>(
        timeLimit: Duration = .seconds(30), isolation: isolated (any Actor)?,
        _ body: nonisolated(nonsending) (StreamID) async throws -> R
    ) async throws -> R {
        try await withNextID(timeLimit: timeLimit, body)
    }

    /// The same, for who passes on where it runs.
    @discardableResult
    public func withNextIDs<R>(
        _ count: Int, timeLimit: Duration = .seconds(30), isolation: isolated (any Actor)?,
        _ body: nonisolated(nonsending) ([StreamID]) async throws -> R
    ) async throws -> R {
        try await withNextIDs(count, timeLimit: timeLimit, body)
    }

    /// - Parameter acknowledged: asked when the body has ended, whether this ID's commit was acknowledged, if the body
    ///   returned. IDs for which it says no are abandoned.
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

    nonisolated(nonsending) func give(up ids: [StreamID], of reservation: Reservation) async {
        if let abandonment = abandon(ids, scope: reservation.scope) {
            _ = await abandonment.outcome(until: time.now + abandonLimit, on: time)
        }
        _ = takeAbandonment(of: reservation)
    }

    private nonisolated(nonsending) func complete(
        _ reservation: Reservation, but unacknowledged: [StreamID]
    ) async throws {
        // A set: a scope may have many of both.
        let given = Set(unacknowledged)
        let committed = given.isEmpty ? reservation.ids : reservation.ids.filter { !given.contains($0) }
        if let abandonment = finish(committed, of: reservation) {
            return try await outcomeOfExpired(abandonment, reservation, needed: committed)
        }
        if !unacknowledged.isEmpty { await give(up: unacknowledged, of: reservation) }
    }

    /// Finishes the IDs, unless the scope has run over its limit: then the database decides.
    private func finish(_ ids: [StreamID], of reservation: Reservation) -> Abandonment? {
        if ids.isEmpty { return nil }
        let wereHeld = finishing { tracker in
            // Some given up, some not, cannot be: expiring takes the same lock for all of them.
            if let first = ids.first, tracker.phase(of: first) == .givenUp { return false }
            return ids.reduce(true) { tracker.finish($1) && $0 }
        } tell: { wereHeld, observer in
            if wereHeld { observer.finished(committed: ids, abandoned: []) }
        }
        // One that was not held was closed, which its commit has survived, or the scope had expired.
        if wereHeld { return nil }
        let abandonment = takeAbandonment(of: reservation)
        if abandonment == nil { tellFinished(committed: ids) }
        return abandonment
    }

    func takeAbandonment(of reservation: Reservation) -> Abandonment? {
        state.withLock { state in
            state.abandonments.isEmpty ? nil : state.abandonments.removeValue(forKey: reservation.scope)
        }
    }

    /// The body says that it committed, after its IDs were given up: the database knows.
    nonisolated(nonsending) func outcomeOfExpired(
        _ abandonment: Abandonment, _ reservation: Reservation, needed: [StreamID]
    ) async throws {
        if case .settled(let committed) = await abandonment.outcome(until: time.now + abandonLimit, on: time),
            committed.isSuperset(of: needed)
        {
            return
        }
        throw TidemarkError.reservationExpired(
            stream: stream, instance: instance, ids: reservation.ids.map(outward), limit: reservation.limit)
    }
}

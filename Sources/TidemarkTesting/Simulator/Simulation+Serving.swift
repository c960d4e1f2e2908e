import Tidemark

extension SimulatedRequest.Body {
    /// Under whose epoch the database does something, where that has to be the newest.
    fileprivate var writer: Writer? {
        switch self {
        case .join(_, let writer): writer
        case .leave(let writer), .allocate(_, let writer): writer
        case .heartbeat(let beat): beat.writer
        case .commit(_, _, let writer, _), .openGroup(_, _, let writer, _, _): writer
        case .group(let group), .settle(_, let group): group.writer
        case .abandon, .reconcile, .close, .retire, .closeByHand, .checkWritable: nil
        }
    }
}

extension Simulation {
    /// The database does what was asked, in one transaction, and the answer goes on its way.
    mutating func serve(_ request: SimulatedRequest) {
        var commits: [SimulatedDatabase.Commit] = []
        let body: SimulatedAnswer.Body
        do throws(TidemarkError) {
            guard let done = try transact(request, &commits) else { return }
            body = done
        } catch {
            body = .refused(error)
        }
        history.add(request.number)
        checkDatabase()
        note(request.process, 2, "has the database do \(request): \(body)")
        check(commits)
        if !request.isOrphan { answers.append(SimulatedAnswer(request: request, body: body)) }
    }

    /// Nil when the transaction is not over yet.
    private mutating func transact(
        _ request: SimulatedRequest, _ commits: inout [SimulatedDatabase.Commit]
    ) throws(TidemarkError) -> SimulatedAnswer.Body? {
        if let writer = request.body.writer { try database.requireJoin(of: writer, in: request.joinedIn) }
        switch request.body {
        case .join(let instance, let writer):
            return .joined(try database.join(instance, after: writer))
        case .leave(let writer):
            database.leave(writer)
            return .done
        case .heartbeat(let beat):
            return .heartbeat(try database.heartbeat(beat))
        case .reconcile(_, let minimum):
            let found = database.contents.reconciliation(of: SimulatedDatabase.stream, above: minimum, limit: 1000)
            return found.map { .reconciled($0) } ?? .done
        case .allocate(let count, let writer):
            let ids = try database.allocate(count, for: writer)
            checkAllocated(ids, in: database.stream)
            return .allocated(ids, incarnation: database.incarnation)
        case .commit(let ids, let events, let writer, let incarnation):
            if waitsForKeys(of: events, request) { return nil }
            return try commit(events, as: ids, by: writer, of: incarnation, &commits)
        case .group(let group):
            if waitsForKeys(of: group.events, request) { return nil }
            return try persistGroup(group, request, &commits)
        case .openGroup(let ids, let events, let writer, let incarnation, let refusals):
            let body = try commit(events, as: ids, by: writer, of: incarnation, &commits)
            if case .persisted(let outcomes, _) = body { return .persisted(outcomes, refusals: refusals) }
            return body
        case .abandon(let ids, _, _, let incarnation):
            let (committed, void) = try database.abandon(ids, incarnation: incarnation)
            return .abandoned(committed: committed, void: void)
        case .settle(_, let group):
            endOpenGroups(of: group.writer)
            let settlement = try database.settle(group)
            return .settled(settlement.groups.first??.outcomes, fence: settlement.fence)
        case .close(let observed):
            try database.closeWriter(observed)
            return .done
        case .retire(let observed):
            try database.retire(observed)
            return .done
        case .closeByHand(let instance):
            try database.closeWriter(instance)
            return .done
        case .checkWritable:
            return .done
        }
    }

    /// Whether an open transaction of a group has one of these keys: then the request waits, and holds no key itself.
    private mutating func waitsForKeys(of events: [Event], _ request: SimulatedRequest) -> Bool {
        guard hasKeys else { return false }
        let keys = Set(events.compactMap(\.key))
        let isHeld = requests.contains { other in
            guard case .openGroup(_, let held, _, _, _) = other.body else { return false }
            return held.contains { $0.key.map(keys.contains) ?? false }
        }
        if isHeld { requests.append(request) }
        return isHeld
    }

    /// Settling excludes the transactions of the writer's groups that have begun: those that do not end by themselves are
    /// ended. What the database has not got yet goes on its way.
    private mutating func endOpenGroups(of writer: Writer) {
        requests.removeAll { request in
            guard case .openGroup(_, _, writer, _, _) = request.body else { return false }
            if !request.isOrphan { answers.append(SimulatedAnswer(request: request, body: .lost)) }
            return true
        }
    }

    private mutating func commit(
        _ events: [Event], as ids: [StreamID], by writer: Writer, of incarnation: Int,
        _ commits: inout [SimulatedDatabase.Commit]
    ) throws(TidemarkError) -> SimulatedAnswer.Body {
        guard incarnation == database.incarnation || configuration.withoutRule == .incarnationCheck else {
            return .void
        }
        let outcomes: [PersistOutcome]
        (outcomes, commits) = try database.commit(events, as: ids, by: writer)
        return .persisted(outcomes)
    }

    /// Where the sequence is part of the transaction the group is allocated and committed at once; elsewhere others may
    /// come in between.
    private mutating func persistGroup(
        _ group: EventGroup, _ request: SimulatedRequest,
        _ commits: inout [SimulatedDatabase.Commit]
    ) throws(TidemarkError) -> SimulatedAnswer.Body? {
        switch database.kind {
        case .durableSequence:
            let persisted: PersistedGroup
            let before = database.stream
            (persisted, commits) = try database.persistGroup(group)
            checkAllocated(commits.map(\.id), in: before)
            return .persisted(persisted.outcomes, refusals: persisted.refusals)
        case .sequenceMadeDurableByCommits:
            try database.requireFence(of: group)
            let refusals = try database.refusals(of: group)
            let events = group.events(heldBy: PersistedGroup(outcomes: [], refusals: refusals))
            if events.isEmpty { return .persisted([], refusals: refusals) }
            let ids = try database.allocate(events.count, for: group.writer)
            checkAllocated(ids, in: database.stream)
            var open = request
            open.body = .openGroup(
                ids: ids, events: events, group.writer, incarnation: database.incarnation, refusals: refusals)
            requests.append(open)
            note(request.process, 3, "has \(ids) in an open transaction, \(request)")
            return nil
        }
    }
}

import Tidemark

extension Simulation {
    private var rule: SimulationConfiguration.Rule? { configuration.withoutRule }

    /// A process gets the database's answer to what it asked.
    mutating func receive(_ answer: SimulatedAnswer) {
        let number = answer.request.process
        guard processes[number].run == answer.request.run, processes[number].phase != .down else { return }
        note(number, 10, "gets the answer to \(answer.request): \(answer.body)")
        watchWrites(answer)
        switch answer.request.body {
        case .join(_, let writer): joined(answer, isFirst: writer == nil)
        case .heartbeat(let beat): beaten(answer, beat.writer)
        case .reconcile(let note, let minimum): reconciled(answer, note, above: minimum)
        case .allocate: allocationAnswered(answer)
        case .commit(let ids, let events, let writer, _): committed(answer, ids, events, writer)
        case .group(let events, let writer), .openGroup(_, let events, let writer, _):
            groupAnswered(answer, events, writer)
        case .abandon(let ids, let writer, let incarnation): abandoned(answer, ids, writer, incarnation)
        case .settle(let group): settled(answer, group: group)
        case .close, .retire: reconcile(number)
        case .leave, .closeByHand, .checkWritable: break
        }
        check(number)
    }

    private mutating func joined(_ answer: SimulatedAnswer, isFirst: Bool) {
        let number = answer.request.process
        switch answer.body {
        case .joined(let joined) where isFirst:
            processes[number].memory = SimulatedProcess.Memory(instance: processes[number].instance, joined: joined)
            promise(joined.writer, joined.position)
            beginReading(number)
        case .joined(let joined):
            processes[number].memory.isRejoining = false
            processes[number].memory.tracker.pin(to: joined.writer)
            // What it had heard of itself, before it knew that, counts no more.
            processes[number].memory.positions[joined.writer] = nil
            processes[number].memory.tracker.updateMembers(
                joined.membership.members, version: joined.membership.version, nonces: joined.membership.nonces)
            processes[number].memory.writer = joined.writer
            processes[number].memory.schedule = AnnouncementSchedule(announced: joined.position)
            promise(joined.writer, joined.position)
        case .lost where isFirst:
            return crash(number, losingRequests: false)
        case .refused:
            processes[number].memory.isFailed = true
            return
        default:
            processes[number].memory.isRejoining = false
            return
        }
        _ = speak(number, isAsked: true)
    }

    private mutating func beaten(_ answer: SimulatedAnswer, _ writer: Writer) {
        let number = answer.request.process
        switch answer.body {
        case .heartbeat(.alive(let newestCommitted, let durablePosition)):
            processes[number].memory.tracker.recordKnown(newestCommitted)
            processes[number].memory.tracker.close(writer, through: durablePosition)
        case .heartbeat(.retired), .heartbeat(.taken):
            rejoin(number)
        case .refused(let error):
            refused(number, error)
        default: break
        }
    }

    private mutating func reconciled(
        _ answer: SimulatedAnswer, _ before: PositionTracker.Note, above minimum: StreamID
    ) {
        let number = answer.request.process
        guard case .reconciled(let found) = answer.body else { return }
        if found.sequence < before.known || found.membership.version < before.watermark.membershipVersion {
            fail(
                .falseAlarm, "\(processes[number].instance) knew \(before.known), the sequence is at \(found.sequence)")
        }
        let isAgreed = agree(number, before, sequence: found.sequence, version: found.membership.version)
        if !isAgreed, minimum != before.confirmed {
            // It was read above a minimum that is false: once more, above one that is not.
            send(number, .reconcile(before, above: before.confirmed))
            return
        }
        processes[number].memory.tracker.take(
            found.membership, newestCommitted: found.newestCommitted, finished: found.finished)
        processes[number].memory.tracker.hearAgain(before)
        if processes[number].memory.tracker.hasLostMembership { rejoin(number) }
        look(at: found.observations, number, since: answer.request.asked)
    }

    private mutating func allocationAnswered(_ answer: SimulatedAnswer) {
        let number = answer.request.process
        if case .allocated(let ids, let incarnation) = answer.body {
            return allocated(ids, incarnation: incarnation, answer.request)
        }
        if let fetch = takeFetch(number, request: answer.request.number) {
            processes[number].memory.tracker.abortFetch(fetch.floor)
            retryLater(fetch.events)
        }
        if case .refused(let error) = answer.body { refused(number, error) }
    }

    private mutating func committed(
        _ answer: SimulatedAnswer, _ ids: [StreamID], _ events: [Event], _ writer: Writer
    ) {
        let number = answer.request.process
        guard case .persisted(let outcomes) = answer.body else {
            if case .refused(let error) = answer.body { refused(number, error) }
            // A body that tries its transaction again, whatever became of it the first time.
            if case .lost = answer.body, random.chance(50) {
                send(number, answer.request.body)
                return
            }
            // A caller that does not wait for what became of its first attempt.
            if case .lost = answer.body, random.chance(40) { retryLater(events) }
            return abandonScope(number, ids)
        }
        acknowledge(events, outcomes)
        guard let index = processes[number].memory.scopes.firstIndex(where: { $0.ids == ids }),
            processes[number].memory.scopes[index].phase != .abandoning
        else { return }
        processes[number].memory.scopes.remove(at: index)
        for id in ids { processes[number].memory.tracker.finish(id) }
        announceRows(number, ids)
    }

    private mutating func groupAnswered(_ answer: SimulatedAnswer, _ events: [Event], _ writer: Writer) {
        let number = answer.request.process
        switch answer.body {
        case .persisted(let outcomes):
            groupEnded(number, request: answer.request.number, outcomes)
        case .lost where rule != .onlyTheDatabaseKnows:
            // Its transaction may be under way: until that is known, the fetch counts as in progress.
            send(number, .settle(group: answer.request.number))
        default:
            groupEnded(number, request: answer.request.number, nil)
            if case .refused(let error) = answer.body { refused(number, error) }
        }
    }

    private mutating func settled(_ answer: SimulatedAnswer, group: Int) {
        if case .settled(let outcomes) = answer.body {
            groupEnded(answer.request.process, request: group, outcomes)
        } else {
            send(answer.request.process, .settle(group: group))
        }
    }

    private mutating func groupEnded(_ number: Int, request: Int, _ outcomes: [PersistOutcome]?) {
        guard let fetch = takeFetch(number, request: request) else { return }
        guard let outcomes else {
            processes[number].memory.tracker.abortFetch(fetch.floor)
            return retryLater(fetch.events)
        }
        acknowledge(fetch.events, outcomes)
        let ids = outcomes.compactMap { if case .persisted(let id) = $0 { id } else { nil } }
        do throws(AllocationFailure) {
            var floor = fetch.floor
            if rule == .floor { floor = try processes[number].memory.tracker.beginFetch() }
            try processes[number].memory.tracker.endFetch(floor, committed: ids)
        } catch {
            if case .wentBackwards = error { fail(.falseAlarm, "\(error) for \(processes[number].instance)") }
        }
        announceRows(number, ids)
    }

    /// The database has said what became of IDs: of a scope, or of an answer that came too late.
    private mutating func abandoned(
        _ answer: SimulatedAnswer, _ ids: [StreamID], _ writer: Writer, _ incarnation: Int
    ) {
        let number = answer.request.process
        guard case .abandoned(let committed, let void) = answer.body else {
            if case .refused(let error) = answer.body { refused(number, error) }
            send(number, .abandon(ids: ids, writer, incarnation: incarnation))
            return
        }
        let isVoid = rule == .incarnation ? [] : void
        // Another scope may have been given the same IDs since, where they are void: this says nothing about it.
        let index = processes[number].memory.scopes.firstIndex { $0.ids == ids && $0.incarnation == incarnation }
        if let index {
            let scope = processes[number].memory.scopes.remove(at: index)
            retryLater(zip(scope.events, ids).filter { !committed.contains($1) }.map(\.0))
            for id in ids {
                if isVoid.contains(id) {
                    processes[number].memory.tracker.discard(id)
                } else {
                    processes[number].memory.tracker.finish(id)
                }
            }
        } else {
            for id in ids where !isVoid.contains(id) { processes[number].memory.tracker.recordFinished(id...id) }
        }
        announceRows(number, ids.filter { !isVoid.contains($0) })
    }

    /// What a writer makes of an error, beside giving up what it was about.
    private mutating func refused(_ number: Int, _ error: TidemarkError) {
        switch error {
        case .instanceTaken, .retired, .unknownInstance: rejoin(number)
        case .closed: break
        default: fail(.falseAlarm, "\(error)")
        }
    }

    private mutating func acknowledge(_ events: [Event], _ outcomes: [PersistOutcome]) {
        for (event, outcome) in zip(events, outcomes) { acknowledged.append((event.id, outcome.streamID)) }
    }
}

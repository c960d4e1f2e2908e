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
        case .reconcile(let question, let minimum): reconciled(answer, question, above: minimum)
        case .allocate: allocationAnswered(answer)
        case .commit(let ids, let events, _, let incarnation): committed(answer, ids, events, of: incarnation)
        case .group, .openGroup: groupAnswered(answer)
        case .abandon(let ids, let scope, _, _): abandoned(answer, ids, scope)
        case .settle(let request, let group): settled(answer, request: request, group)
        case .close, .retire: reconcile(number)
        case .leave:
            note(number, 33, "has left")
            return crash(number, losingRequests: false)
        case .closeByHand, .checkWritable: break
        }
        settle(number)
    }

    private mutating func joined(_ answer: SimulatedAnswer, isFirst: Bool) {
        let (number, now) = (answer.request.process, now)
        let machine = processes[number].memory.machine
        switch answer.body {
        case .joined(var joined) where isFirst:
            joined = Joined(
                writer: joined.writer, membership: shown(joined.membership), position: joined.position,
                raisedFrom: joined.raisedFrom, fence: joined.fence)
            processes[number].memory = SimulatedProcess.Memory(
                number: number, instance: processes[number].instance, joined: joined)
            promise(joined.writer, joined.position)
            beginReading(number)
        case .joined(let joined):
            let membership = shown(joined.membership)
            let problem = machine { $0.loss(since: $0.note(), in: membership.eras) }
            if let problem, endAfterLoss(number, problem) { return }
            // What it had heard of itself, before it knew that, counts no more.
            processes[number].memory.positions[joined.writer] = nil
            promise(joined.writer, joined.position)
            // Told to end meanwhile, it leaves again.
            let shown = Joined(
                writer: joined.writer, membership: membership, position: joined.position,
                raisedFrom: joined.raisedFrom, fence: joined.fence)
            if !machine({ $0.joined(shown, now: now) }) { send(number, .leave(joined.writer)) }
        case .lost where isFirst:
            return crash(number, losingRequests: false)
        case .refused(let error):
            if case .acknowledgedEventsLost = error, endAfterLoss(number, "\(error)", isCertain: true) { return }
            machine { $0.joinFailed() }
            processes[number].memory.isFailed = true
        default:
            machine { $0.joinFailed() }
        }
    }

    private mutating func beaten(_ answer: SimulatedAnswer, _ writer: Writer) {
        let (number, now) = (answer.request.process, now)
        let machine = processes[number].memory.machine
        machine { $0.heartbeatEnded() }
        switch answer.body {
        case .heartbeat(let answer): machine { $0.heartbeatAnswered(answer, for: writer, now: now) }
        case .refused(let error): refused(number, error)
        default: break
        }
    }

    private mutating func reconciled(
        _ answer: SimulatedAnswer, _ question: StreamMachine.Reconcile, above minimum: StreamID
    ) {
        let (number, now) = (answer.request.process, now)
        let machine = processes[number].memory.machine
        let found: Reconciliation?
        switch answer.body {
        case .reconciled(let answered):
            found = answered.with(
                shown(answered.membership), sequence: rule == .boundedHearing ? StreamID(.max) : answered.sequence)
        case .done: found = nil
        default: return machine { $0.reconcileFailed() }
        }
        let outcome = machine { $0.reconciled(question, found, above: minimum, now: now, awake: now) }
        switch outcome {
        case .lost(let problem), .wentBackwards(let problem):
            if endAfterLoss(number, problem) { return }
            fail(.falseAlarm, "\(processes[number].instance) knew \(question.note.known): \(problem)")
        case .readAgain(let above): send(number, .reconcile(question, above: above))
        // In production that follows where the log runs; here anybody may look at any time.
        case .agreed: machine { $0.look(since: answer.request.asked, awake: now) }
        }
        if machine({ $0.hasLostMembership }) { rejoin(number) }
    }

    private mutating func allocationAnswered(_ answer: SimulatedAnswer) {
        let number = answer.request.process
        if case .allocated(let ids, let incarnation) = answer.body {
            return allocated(ids, incarnation: incarnation, answer.request)
        }
        if let fetch = takeFetch(number, request: answer.request.number) {
            let now = now
            processes[number].memory.machine { $0.abortFetch(fetch.floor, now: now) }
            retryLater(fetch.events)
        }
        if case .refused(let error) = answer.body { refused(number, error) }
    }

    private mutating func committed(
        _ answer: SimulatedAnswer, _ ids: [StreamID], _ events: [Event], of incarnation: Int
    ) {
        let number = answer.request.process
        let isMeant = { (scope: SimulatedProcess.Scope) in scope.ids == ids && scope.incarnation == incarnation }
        guard case .persisted(let outcomes, _) = answer.body else {
            if case .refused(let error) = answer.body { refused(number, error) }
            // A body that tries its transaction again, whatever became of it the first time.
            if case .lost = answer.body, random.chance(50) {
                send(number, answer.request.body)
                return
            }
            // A caller that does not wait for what became of its first attempt.
            if case .lost = answer.body, random.chance(40) { retryLater(events) }
            if let index = processes[number].memory.scopes.firstIndex(where: isMeant) {
                abandonScope(number, at: index)
            }
            return
        }
        acknowledge(events, outcomes)
        guard let index = processes[number].memory.scopes.firstIndex(where: isMeant),
            processes[number].memory.scopes[index].phase != .abandoning
        else { return }
        processes[number].memory.scopes.remove(at: index)
        let now = now
        processes[number].memory.machine { machine in
            if !machine.finish(ids, now: now) { machine.committedThoughClosed(ids, now: now) }
        }
    }

    private mutating func groupAnswered(_ answer: SimulatedAnswer) {
        let number = answer.request.process
        switch answer.body {
        case .persisted(let outcomes, let refusals):
            groupEnded(number, request: answer.request.number, outcomes, refusals)
        case .lost where rule != .onlyTheDatabaseKnows:
            // Its transaction may be under way: until that is known, the fetch counts as in progress.
            guard let group = group(ofRequest: answer.request.number, number) else { return }
            send(number, .settle(request: answer.request.number, group))
        default:
            groupEnded(number, request: answer.request.number, nil)
            if case .refused(let error) = answer.body { refused(number, error) }
        }
    }

    /// The group that a fetch is about; nil where nobody waits for it any more.
    private func group(ofRequest request: Int, _ number: Int) -> EventGroup? {
        processes[number].memory.fetches.first { $0.request == request }?.group
    }

    private mutating func settled(_ answer: SimulatedAnswer, request: Int, _ group: EventGroup) {
        let number = answer.request.process
        guard case .settled(let outcomes, let fence) = answer.body else {
            if case .refused(let error) = answer.body, case .acknowledgedEventsLost = error,
                endAfterLoss(number, "\(error)", isCertain: true)
            {
                return
            }
            send(number, .settle(request: request, group))
            return
        }
        processes[number].memory.machine { $0.fenced(group.writer, at: fence) }
        groupEnded(number, request: request, outcomes)
    }

    private mutating func groupEnded(
        _ number: Int, request: Int, _ outcomes: [PersistOutcome]?, _ refusals: [Int: CallRefusal] = [:]
    ) {
        guard let fetch = takeFetch(number, request: request) else { return }
        guard let outcomes else {
            let now = now
            processes[number].memory.machine { $0.abortFetch(fetch.floor, now: now) }
            return retryLater(fetch.events)
        }
        let persisted = PersistedGroup(outcomes: outcomes, refusals: refusals)
        let events = fetch.group?.events(heldBy: persisted) ?? fetch.events
        acknowledge(events, outcomes)
        // Decided again, on what is there then.
        retryLater(fetch.events.filter { event in !events.contains { $0.id == event.id } })
        let ids = outcomes.compactMap { if case .persisted(let id) = $0 { id } else { nil } }
        let (now, hasFloor) = (now, rule != .floor)
        do throws(AllocationFailure) {
            try processes[number].memory.machine { machine throws(AllocationFailure) in
                let floor = hasFloor ? fetch.floor : try machine.beginFetch().number
                try machine.committed(ids, events: [], in: floor, now: now)
            }
        } catch {
            if case .wentBackwards = error { fail(.falseAlarm, "\(error) for \(processes[number].instance)") }
        }
    }

    /// The database has said what became of IDs: of a scope, or of an answer that came too late.
    private mutating func abandoned(_ answer: SimulatedAnswer, _ ids: [StreamID], _ scope: Int) {
        let (number, now) = (answer.request.process, now)
        let machine = processes[number].memory.machine
        guard case .abandoned(let committed, let void) = answer.body else {
            if case .refused(let error) = answer.body { refused(number, error) }
            return machine { $0.abandonFailed(scope, random: 0.5, now: now) }
        }
        let isVoid = rule == .incarnation ? [] : void
        machine { $0.abandoned(scope, committed: Set(committed), void: Set(isVoid), now: now) }
        if rule == .voidIsNotKnown, let highest = void.max() { becomesKnown(highest, number) }
        endScope(number, scope, committed: committed)
    }

    /// A scope whose IDs were given up is over.
    mutating func endScope(_ number: Int, _ scope: Int, committed: [StreamID]) {
        guard let index = processes[number].memory.scopes.firstIndex(where: { $0.number == scope }) else { return }
        let ended = processes[number].memory.scopes.remove(at: index)
        retryLater(zip(ended.events, ended.ids).filter { !committed.contains($1) }.map(\.0))
    }

    /// What must not become known does, where a rule is switched off.
    mutating func becomesKnown(_ id: StreamID, _ number: Int) {
        let (machine, now) = (processes[number].memory.machine, now)
        guard let writer = machine({ $0.writer }) else { return }
        machine {
            $0.heartbeatAnswered(.alive(newestCommitted: id, durablePosition: 0), for: writer, now: now)
        }
    }

    /// What a writer makes of an error, beside giving up what it was about.
    private mutating func refused(_ number: Int, _ error: TidemarkError) {
        switch error {
        case .instanceTaken, .retired, .unknownInstance: rejoin(number)
        case .closed, .keyPassed: break
        case .fenced(_, let writer, let fence): processes[number].memory.machine { $0.fenced(writer, at: fence) }
        case .acknowledgedEventsLost where endAfterLoss(number, "\(error)", isCertain: true): break
        default:
            if endAfterLoss(number, "\(error)") { return }
            fail(.falseAlarm, "\(error)")
        }
    }

    private mutating func acknowledge(_ events: [Event], _ outcomes: [PersistOutcome]) {
        for (event, outcome) in zip(events, outcomes) { acknowledged.append((event.id, outcome.streamID)) }
    }
}

extension Reconciliation {
    fileprivate func with(_ membership: Membership, sequence: StreamID) -> Reconciliation {
        Reconciliation(
            membership: membership, sequence: sequence, newestCommitted: newestCommitted, finished: finished,
            observations: observations, newest: newest)
    }
}

import Tidemark

extension Simulation {
    private var rule: SimulationConfiguration.Rule? { configuration.withoutRule }

    // MARK: IDs

    /// Asks the sequence for IDs of a scope, or the database to persist a group under IDs of its own.
    mutating func fetch(_ number: Int, count: Int, isGroup: Bool) -> Bool {
        guard let writer = processes[number].memory.writer else { return false }
        let (machine, now) = (processes[number].memory.machine, now)
        if machine({ $0.hasLostMembership }) { return rejoin(number) }
        let floor: Int
        let known: StreamID
        do throws(AllocationFailure) {
            (floor, known) = try machine { machine throws(AllocationFailure) in try machine.beginFetch() }
        } catch {
            return false
        }
        if rule == .floor { machine { $0.abortFetch(floor, now: now) } }
        var events = (0..<count).map { _ in nextEvent() }
        let calls = isGroup ? decide(&events) : nil
        let group =
            isGroup
            ? EventGroup(
                events, in: SimulatedDatabase.stream, by: writer, known: known, fence: machine { $0.fence },
                calls: calls)
            : nil
        let request = send(number, group.map { .group($0) } ?? .allocate(count, writer))
        processes[number].memory.fetches.append(
            SimulatedProcess.Fetch(request: request, floor: floor, events: events, group: group, since: now))
        note(number, 4, "\(isGroup ? "persists a group" : "fetches") as \(writer): \(events.map(\.id))")
        settle(number)
        return true
    }

    /// A new event, or one that somebody could not persist.
    private mutating func nextEvent() -> Event {
        if let index = anyIndex(of: retries.count), random.chance(60) {
            var event = retries.remove(at: index)
            event.payload = []
            return event
        }
        lastEvent += 1
        let key = hasKeys && lastEvent % 5 > 0 ? "k\(lastEvent % 3)" : nil
        return Event(id: "e\(lastEvent)", type: hasKeys && lastEvent % 2 == 0 ? "decided" : "simulated", key: key)
    }

    /// Each event is a call of its own; what is decided on a key says on which event of it.
    private func decide(_ events: inout [Event]) -> [EventGroup.Call]? {
        guard hasKeys else { return nil }
        return events.indices.map { index in
            guard events[index].type == "decided", let key = events[index].key else { return .init(events: 1) }
            let newest = newest(ofKey: key)
            events[index].payload = Array("\(newest)".utf8)
            return EventGroup.Call(events: 1, condition: KeyCondition(key: key, expected: newest))
        }
    }

    /// Not by the index, which is what is tried; 0 where there is none.
    private func newest(ofKey key: String) -> StreamID {
        database.stream.events.last { $0.event.key == key }?.streamID ?? 0
    }

    mutating func retryLater(_ events: [Event]) {
        for event in events where !retries.contains(where: { $0.id == event.id }) { retries.append(event) }
    }

    mutating func takeFetch(_ number: Int, request: Int) -> SimulatedProcess.Fetch? {
        guard let index = processes[number].memory.fetches.firstIndex(where: { $0.request == request }) else {
            return nil
        }
        return processes[number].memory.fetches.remove(at: index)
    }

    /// The sequence has answered.
    mutating func allocated(_ ids: [StreamID], incarnation: Int, _ request: SimulatedRequest) {
        let number = request.process
        guard let fetch = takeFetch(number, request: request.number) else {
            return abandonLate(number, ids, incarnation: incarnation, joinedIn: request.joinedIn)
        }
        let (machine, hasFloor) = (processes[number].memory.machine, rule != .floor)
        let scope: Int
        do throws(AllocationFailure) {
            scope = try machine { machine throws(AllocationFailure) in
                let floor = hasFloor ? fetch.floor : try machine.beginFetch().number
                return try machine.endFetch(
                    floor, with: ids, asked: fetch.events.count, since: fetch.since,
                    deadline: fetch.since + SimulationConfiguration.Timing.limit)
            }
        } catch {
            if case .wentBackwards = error { fail(.falseAlarm, "\(error) for \(processes[number].instance)") }
            // In production the caller gets the error.
            return retryLater(fetch.events)
        }
        if rule == .durableBeforeKnown, let last = ids.last { becomesKnown(last, number) }
        processes[number].memory.scopes.append(
            SimulatedProcess.Scope(
                number: scope, ids: ids, events: fetch.events, incarnation: incarnation, joinedIn: request.joinedIn,
                phase: .held))
    }

    /// The answer came after its fetch was given up.
    private mutating func abandonLate(_ number: Int, _ ids: [StreamID], incarnation: Int, joinedIn: Incarnation) {
        let now = now
        processes[number].memory.lateAnswers.append((ids, incarnation, joinedIn))
        processes[number].memory.machine { $0.answeredLate(with: ids, of: joinedIn, now: now) }
    }

    // MARK: Scopes

    private mutating func anyScope(of number: Int) -> Int? {
        let held = processes[number].memory.scopes.indices.filter {
            processes[number].memory.scopes[$0].phase == .held
        }
        return anyIndex(of: held.count).map { held[$0] }
    }

    /// A body commits whose scope has ended without it, perhaps not for the last time.
    mutating func commitLate(_ number: Int) -> Bool {
        guard let index = anyIndex(of: processes[number].memory.lateBodies.count),
            let writer = processes[number].memory.writer
        else { return false }
        let scope = processes[number].memory.lateBodies[index]
        if random.chance(25) { processes[number].memory.lateBodies.remove(at: index) }
        note(number, 8, "commits \(scope.ids) as \(writer), too late")
        send(number, .commit(ids: scope.ids, events: scope.events, writer, incarnation: scope.incarnation))
        return true
    }

    mutating func commitScope(of number: Int) {
        guard let index = anyScope(of: number), let writer = processes[number].memory.writer else { return }
        let scope = processes[number].memory.scopes[index]
        processes[number].memory.scopes[index].phase = .committing
        note(number, 5, "commits \(scope.ids) as \(writer)")
        send(number, .commit(ids: scope.ids, events: scope.events, writer, incarnation: scope.incarnation))
    }

    /// The body of a scope throws.
    mutating func giveUpScope(of number: Int) {
        guard let index = anyScope(of: number) else { return }
        abandonScope(number, at: index)
    }

    /// The IDs stay in flight until the database has said what became of them (rule 5).
    mutating func abandonScope(_ number: Int, at index: Int) {
        let ids = processes[number].memory.scopes[index].ids
        note(number, 6, "gives up \(ids)")
        processes[number].memory.scopes[index].phase = .abandoning
        let (scope, now) = (processes[number].memory.scopes[index].number, now)
        let isHeld = processes[number].memory.machine { $0.giveUp(ids, scope: scope, now: now) }
        // Nothing was held any more: its writer was closed, or it has run over its limit.
        if !isHeld, !processes[number].memory.isAsked(scope) { endScope(number, scope, committed: []) }
        settle(number)
    }

    /// Asks the database what became of IDs.
    mutating func askWhatBecame(_ number: Int) {
        let (machine, now) = (processes[number].memory.machine, now)
        for asked in machine({ $0.takeAbandonments(now: now) }) {
            let scope = processes[number].memory.scopes.firstIndex { $0.number == asked.scope }
            if let scope { giveUpExpired(number, scope) }
            if rule == .onlyTheDatabaseKnows, !asked.isLate {
                machine { $0.abandoned(asked.scope, committed: [], void: Set(asked.ids), now: now) }
                endScope(number, asked.scope, committed: [])
                continue
            }
            guard let writer = processes[number].memory.writer else { continue }
            processes[number].memory.asked.insert(asked.scope)
            send(
                number,
                .abandon(ids: asked.ids, scope: asked.scope, writer, incarnation: incarnation(of: asked, number)))
        }
    }

    /// Which life of the database handed the IDs out: another one may have handed out the same to this process.
    private func incarnation(of asked: StreamMachine.GivenUpIDs, _ number: Int) -> Int {
        let memory = processes[number].memory
        let scopes = memory.scopes.filter { scope in
            scope.joinedIn == asked.incarnation && asked.ids.allSatisfy(scope.ids.contains)
        }
        if let scope = scopes.first(where: { $0.number == asked.scope }) ?? scopes.last { return scope.incarnation }
        let late = memory.lateAnswers.last { $0.ids == asked.ids && $0.joinedIn == asked.incarnation }
        if let late { return late.incarnation }
        // Of neither: as the process names it, this life or one that is over.
        let isOfThisLife = asked.incarnation == database.stream.incarnation
        return isOfThisLife ? database.incarnation : database.incarnation - 1
    }

    /// The machine has given up a scope that ran over its limit: its body goes on.
    private mutating func giveUpExpired(_ number: Int, _ index: Int) {
        let scope = processes[number].memory.scopes[index]
        guard scope.phase != .abandoning else { return }
        processes[number].memory.scopes[index].phase = .abandoning
        if processes[number].memory.lateBodies.count < 4 { processes[number].memory.lateBodies.append(scope) }
    }

    /// Time passes for a process: what has run over its limit, scopes and fetches of scopes.
    mutating func expire(_ number: Int) -> Bool {
        let (machine, now) = (processes[number].memory.machine, now)
        let limit = now - SimulationConfiguration.Timing.limit
        let late = processes[number].memory.fetches.filter { !$0.isGroup && $0.since <= limit }
        for fetch in late {
            note(number, 7, "gives up a fetch")
            machine { $0.abortFetch(fetch.floor, now: now) }
            retryLater(fetch.events)
        }
        processes[number].memory.fetches.removeAll { !$0.isGroup && $0.since <= limit }
        let isDue = machine { $0.nextDeadline.map { $0 <= now } ?? false }
        machine { $0.timePassed(now: now) }
        settle(number)
        return !late.isEmpty || isDue
    }

    // MARK: Membership

    /// The same for the answer to a heartbeat, a refused commit and members without this writer.
    @discardableResult
    mutating func rejoin(_ number: Int) -> Bool {
        guard let writer = processes[number].memory.writer, !processes[number].memory.isFailed else { return false }
        let drawn = Int64(random.next() >> 2) + 1
        guard case .join(let before, _) = processes[number].memory.machine({ $0.rejoin(after: writer, random: drawn) })
        else { return false }
        send(number, .join(processes[number].instance, after: before))
        return true
    }

    mutating func beat(_ number: Int) -> Bool {
        let now = now
        let beat = processes[number].memory.machine { $0.heartbeat(of: SimulatedDatabase.stream, now: now) }
        guard let beat, !processes[number].memory.isFailed else { return false }
        if isOfThisLife(number) { promise(beat.writer, beat.position) }
        send(number, .heartbeat(beat))
        return true
    }

    /// A request that comes before the snapshot of an earlier one was opened shares that snapshot.
    mutating func reconcile(_ number: Int) {
        let isAsked = requests.contains { request in
            guard case .reconcile = request.body else { return false }
            return request.process == number && !request.isOrphan
        }
        if isAsked { return }
        let now = now
        let question = processes[number].memory.machine { $0.beginReconcile(awake: now) }
        send(number, .reconcile(question, above: question.minimum))
    }
}

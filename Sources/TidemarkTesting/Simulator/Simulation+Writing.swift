import Tidemark

extension Simulation {
    private var rule: SimulationConfiguration.Rule? { configuration.withoutRule }

    // MARK: IDs

    /// Asks the sequence for IDs of a scope, or the database to persist a group under IDs of its own.
    mutating func fetch(_ number: Int, count: Int, isGroup: Bool) -> Bool {
        guard let writer = processes[number].memory.writer else { return false }
        if processes[number].memory.tracker.hasLostMembership { return rejoin(number) }
        let floor: Int
        do throws(AllocationFailure) {
            floor = try processes[number].memory.tracker.beginFetch()
        } catch {
            return false
        }
        if rule == .floor { processes[number].memory.tracker.abortFetch(floor) }
        let events = (0..<count).map { _ in nextEvent() }
        let request = send(number, isGroup ? .group(events, writer) : .allocate(count, writer))
        processes[number].memory.fetches.append(
            SimulatedProcess.Fetch(request: request, floor: floor, events: events, isGroup: isGroup, since: now))
        note(number, 4, "\(isGroup ? "persists a group" : "fetches") as \(writer): \(events.map(\.id))")
        check(number)
        return true
    }

    /// A new event, or one that somebody could not persist.
    private mutating func nextEvent() -> Event {
        if let index = anyIndex(of: retries.count), random.chance(60) { return retries.remove(at: index) }
        lastEvent += 1
        return Event(id: "e\(lastEvent)", type: "simulated")
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
            return abandonLate(number, ids, incarnation: incarnation)
        }
        processes[number].memory.lastScope += 1
        let scope = processes[number].memory.lastScope
        do throws(AllocationFailure) {
            var floor = fetch.floor
            if rule == .floor { floor = try processes[number].memory.tracker.beginFetch() }
            try processes[number].memory.tracker.endFetch(
                floor, with: ids, asked: fetch.events.count, scope: scope, since: fetch.since,
                deadline: fetch.since + SimulationConfiguration.Timing.limit)
        } catch {
            if case .wentBackwards = error { fail(.falseAlarm, "\(error) for \(processes[number].instance)") }
            // Without the floor nobody notices; in production the caller gets the error.
            if rule != .floor { return retryLater(fetch.events) }
        }
        if rule == .durableBeforeKnown, let last = ids.last { processes[number].memory.tracker.recordKnown(last) }
        processes[number].memory.scopes.append(
            SimulatedProcess.Scope(
                number: scope, ids: ids, events: fetch.events, incarnation: incarnation, phase: .held))
    }

    /// The answer came after its fetch was given up.
    private mutating func abandonLate(_ number: Int, _ ids: [StreamID], incarnation: Int) {
        guard let writer = processes[number].memory.writer else { return }
        send(number, .abandon(ids: ids, writer, incarnation: incarnation))
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
        abandonScope(number, processes[number].memory.scopes[index].ids)
    }

    /// The IDs stay in flight until the database has said what became of them (rule 5).
    mutating func abandonScope(_ number: Int, _ ids: [StreamID]) {
        guard let index = processes[number].memory.scopes.firstIndex(where: { $0.ids == ids }),
            let writer = processes[number].memory.writer
        else { return }
        note(number, 6, "gives up \(ids)")
        if rule == .onlyTheDatabaseKnows {
            retryLater(processes[number].memory.scopes.remove(at: index).events)
            for id in ids { processes[number].memory.tracker.discard(id) }
            return check(number)
        }
        processes[number].memory.scopes[index].phase = .abandoning
        for id in ids { _ = processes[number].memory.tracker.giveUp(id) }
        let incarnation = processes[number].memory.scopes[index].incarnation
        send(number, .abandon(ids: ids, writer, incarnation: incarnation))
    }

    /// What has run over its limit: scopes, and fetches of scopes.
    mutating func expire(_ number: Int) -> Bool {
        let limit = now - SimulationConfiguration.Timing.limit
        let late = processes[number].memory.fetches.filter { !$0.isGroup && $0.since <= limit }
        for fetch in late {
            note(number, 7, "gives up a fetch")
            processes[number].memory.tracker.abortFetch(fetch.floor)
            retryLater(fetch.events)
        }
        processes[number].memory.fetches.removeAll { !$0.isGroup && $0.since <= limit }
        let expired = processes[number].memory.tracker.expired(at: now)
        for scope in processes[number].memory.scopes where expired[scope.number] != nil {
            if processes[number].memory.lateBodies.count < 4 { processes[number].memory.lateBodies.append(scope) }
            abandonScope(number, scope.ids)
        }
        check(number)
        return !late.isEmpty || !expired.isEmpty
    }

    // MARK: Membership

    /// The same for the answer to a heartbeat, a refused commit and members without this writer.
    @discardableResult
    mutating func rejoin(_ number: Int) -> Bool {
        guard let writer = processes[number].memory.writer, !processes[number].memory.isRejoining,
            !processes[number].memory.isFailed
        else { return false }
        processes[number].memory.isRejoining = true
        send(number, .join(processes[number].instance, after: writer))
        return true
    }

    mutating func beat(_ number: Int) -> Bool {
        guard let writer = processes[number].memory.writer else { return false }
        let position = processes[number].memory.tracker.position ?? 0
        promise(writer, position)
        send(
            number,
            .heartbeat(
                Heartbeat(
                    stream: SimulatedDatabase.stream, writer: writer, position: position,
                    inFlight: processes[number].memory.tracker.inFlightCount)))
        return true
    }

    /// Whoever asks while the snapshot of an earlier request is not opened yet shares it.
    mutating func reconcile(_ number: Int) {
        let isAsked = requests.contains { request in
            guard case .reconcile = request.body else { return false }
            return request.process == number && !request.isOrphan
        }
        if isAsked { return }
        let note = processes[number].memory.tracker.note()
        send(number, .reconcile(note, above: note.watermark.minimum))
    }
}

/// IDs in flight: fetches, scopes, groups, and what is abandoned.
extension StreamMachine {
    /// A fetch begins: until it has ended, this instance's position stays at or below what is known now.
    ///
    /// - Returns: its number, and the floor, which the sequence has to be above.
    public mutating func beginFetch() throws(AllocationFailure) -> (number: Int, floor: StreamID) {
        // Nobody has to hear of it: what a fetch does to the position shows when something becomes known meanwhile.
        (try tracker.beginFetch(), tracker.floor)
    }

    /// The answer: its IDs are in flight until their scope ends.
    ///
    /// - Returns: the number of the scope.
    public mutating func endFetch(
        _ fetch: Int, with ids: [StreamID], asked count: Int, since: Duration, deadline: Duration
    ) throws(AllocationFailure) -> Int {
        lastScope += 1
        // Nothing that others wait for changes here: the position is at the floor, or below it.
        try tracker.endFetch(fetch, with: ids, asked: count, scope: lastScope, since: since, deadline: deadline)
        expireNoLater(than: deadline)
        return lastScope
    }

    /// The same for one ID.
    public mutating func endFetch(
        _ fetch: Int, with id: StreamID, since: Duration, deadline: Duration
    ) throws(AllocationFailure) -> Int {
        lastScope += 1
        try tracker.endFetch(
            fetch, with: CollectionOfOne(id), asked: 1, scope: lastScope, since: since, deadline: deadline)
        expireNoLater(than: deadline)
        return lastScope
    }

    /// The fetch failed, or is not waited for any more.
    public mutating func abortFetch(_ fetch: Int, now: Duration) {
        tracker.abortFetch(fetch)
        changed(now: now)
    }

    /// IDs that came after their fetch had ended: a tombstone lets the runs of finished IDs pass.
    ///
    /// - Parameter incarnation: ``writersIncarnation`` when they were asked for; this instance may have joined another one since,
    ///   which hands the same IDs out again.
    public mutating func answeredLate(with ids: [StreamID], of incarnation: Incarnation, now: Duration) {
        guard !ids.isEmpty else { return }
        lastScope += 1
        abandonments.add(ids, scope: lastScope, of: incarnation, isLate: true, now: now)
        pending.formUnion([.abandon, .timer])
    }

    /// The fetch was a transaction, which has committed these IDs and their events.
    ///
    /// - Parameters:
    ///   - events: the ids of the events, in the order of the IDs.
    ///   - tombstones: IDs that it took, and that hold no event.
    public mutating func committed(
        _ ids: [StreamID], events: [String], tombstones: [StreamID] = [], in fetch: Int, now: Duration
    ) throws(AllocationFailure) {
        defer { changed(now: now) }
        tellRows(ids, events: events)
        for id in tombstones { tellTombstone(id) }
        do throws(AllocationFailure) {
            try tracker.endFetch(fetch, committed: tombstones.isEmpty ? ids : ids + tombstones)
        } catch .late {
            // Another incarnation has begun since, and this instance has joined it above what was committed in the last one.
        }
    }

    /// Whether a scope still holds the ID: it is in flight, and was not given up.
    public func holds(_ id: StreamID) -> Bool { tracker.phase(of: id) == .held }

    /// The scope says that its IDs were committed.
    ///
    /// - Returns: false where it does not hold all of them any more; nothing changes for those that it does not hold.
    public mutating func finish(_ ids: [StreamID], now: Duration) -> Bool {
        // The IDs of a scope expire together, so that the first one speaks for all.
        if let first = ids.first, tracker.phase(of: first) == .givenUp { return false }
        let wereHeld = ids.reduce(true) { tracker.finish($1) && $0 }
        // Before a position that covers them, which is told by what follows; also of those that were closed.
        if wereHeld {
            tellRows(ids, events: [])
        } else if let highest = ids.max() {
            announcer.leavesUntold(through: highest)
        }
        changed(now: now)
        return wereHeld
    }

    /// The same for one ID.
    public mutating func finish(_ id: StreamID, now: Duration) -> Bool {
        guard tracker.finish(id, ifHeld: true) else { return false }
        if let speaker = announcer.tells(1, through: id) {
            messages.append(.event(speaker, id, eventID: nil))
            pending.insert(.send)
        }
        changed(now: now)
        return true
    }

    /// The IDs were closed, and their commit has survived that.
    public mutating func committedThoughClosed(_ ids: [StreamID], now: Duration) {
        tellRows(ids, events: [])
        changed(now: now)
    }

    /// The scope failed: its IDs stay in flight until the database has said what became of them.
    ///
    /// - Returns: false where none of them was held any more.
    public mutating func giveUp(_ ids: [StreamID], scope: Int, now: Duration) -> Bool {
        let given = ids.filter { tracker.giveUp($0, scope: scope) }
        guard !given.isEmpty else { return false }
        abandonments.add(ids, scope: scope, of: ownIncarnation, isLate: false, now: now)
        pending.formUnion([.abandon, .timer])
        return true
    }

    /// What the database is to be asked about now. Each is answered by ``abandoned(_:committed:void:pruned:now:)`` or
    /// ``abandonFailed(_:random:now:)``.
    public mutating func takeAbandonments(now: Duration) -> [GivenUpIDs] {
        abandonments.takeDue(now: now)
    }

    /// The database has said what became of the IDs of a scope.
    ///
    /// - Parameters:
    ///   - committed: those that hold an event.
    ///   - void: those of an earlier incarnation of the database that hold nothing. They may be handed out again, so that
    ///     they become neither known nor finished.
    ///   - pruned: those whose outcome is not known any more. They are finished, and no row is told of them.
    public mutating func abandoned(
        _ scope: Int, committed: Set<StreamID>, void: Set<StreamID> = [], pruned: Set<StreamID> = [], now: Duration
    ) {
        guard let (all, isLate, incarnation) = abandonments.settled(scope) else { return }
        // Of another incarnation: the same IDs may have been handed out again since, to others.
        guard incarnation == ownIncarnation else { return }
        let ids = void.isEmpty ? all : all.filter { !void.contains($0) }
        if let highest = ids.max(), let speaker = announcer.tells(ids.count, through: highest) {
            for id in ids where !pruned.contains(id) {
                messages.append(
                    committed.contains(id) ? .event(speaker, id, eventID: nil) : .tombstone(speaker, id))
            }
            pending.insert(.send)
        }
        for id in ids {
            if isLate { tracker.recordFinished(id...id) } else { tracker.finish(id) }
        }
        if !isLate { for id in void { tracker.discard(id) } }
        changed(now: now)
    }

    /// The database could not be asked. It is asked again.
    ///
    /// - Parameter random: uniform in 0..<1.
    public mutating func abandonFailed(_ scope: Int, random: Double, now: Duration) {
        abandonments.failed(scope, isLast: membership.isStopped, random: random, now: now)
        pending.insert(.timer)
    }

    private mutating func expireNoLater(than deadline: Duration) {
        if let expiryAt, expiryAt <= deadline { return }
        expiryAt = deadline
        pending.insert(.timer)
    }

    mutating func expire(now: Duration) {
        for (scope, ids) in tracker.expired(at: now) {
            report(.scopeExpired(ids))
            _ = giveUp(ids, scope: scope, now: now)
        }
        // Not for each of many deadlines that lie close together: looking for them takes time.
        expiryAt = tracker.earliestDeadline.map { max($0, now + .milliseconds(1)) }
    }

    private mutating func tellTombstone(_ id: StreamID) {
        guard let speaker = announcer.tells(messages.count < Self.messageLimit ? 1 : .max, through: id) else { return }
        messages.append(.tombstone(speaker, id))
        pending.insert(.send)
    }

    private mutating func tellRows(_ ids: [StreamID], events: [String]) {
        guard let highest = ids.max() else { return }
        let count = messages.count + ids.count > Self.messageLimit ? .max : ids.count
        guard let speaker = announcer.tells(count, through: highest) else { return }
        for (index, id) in ids.enumerated() {
            messages.append(.event(speaker, id, eventID: index < events.count ? events[index] : nil))
        }
        pending.insert(.send)
    }
}

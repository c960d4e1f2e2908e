/// Why a fetch could not begin, or its answer cannot be used.
public enum AllocationFailure: Error, Hashable, Sendable {
    case notAMember
    /// The fetch ended before its answer came.
    case late
    /// The answer holds an ID at or below the floor.
    case wentBackwards(id: StreamID, floor: StreamID)
    case wrongCount(asked: Int, got: Int)
    case notAscending(id: StreamID)
    /// The ID is in flight already, or has been, above one that still is.
    case handedOutTwice(id: StreamID)
}

extension PositionTracker {
    /// Notes the floor: until the answer is in flight, or the fetch has ended otherwise, this instance's position
    /// stays at or below what is known now.
    public mutating func beginFetch() throws(AllocationFailure) -> Int {
        guard own != nil else { throw .notAMember }
        return floors.begin(at: floor)
    }

    /// What the sequence has to be above for the next ID: all that is known from the database, and what this instance has
    /// promised, which is never more than it has read of the sequence.
    public var floor: StreamID { max(known, ownPosition) }

    /// The answer: its IDs are in flight until they are finished.
    public mutating func endFetch(
        _ fetch: Int, with ids: [StreamID], asked count: Int, scope: Int, since: Duration, deadline: Duration
    ) throws(AllocationFailure) {
        defer { update() }
        // Before the call: as its argument it would have the whole tracker copied first.
        let floor = try takeFloor(fetch)
        try check(ids, asked: count, floor: floor)
        for id in ids { inFlight.insert(id, scope: scope, since: since, deadline: deadline) }
    }

    /// The same for one ID.
    public mutating func endFetch(
        _ fetch: Int, with id: StreamID, scope: Int, since: Duration, deadline: Duration
    ) throws(AllocationFailure) {
        defer { update() }
        let floor = try takeFloor(fetch)
        try check(id, above: floor)
        inFlight.insert(id, scope: scope, since: since, deadline: deadline)
    }

    /// The fetch was a transaction that allocated IDs and committed them, or found that there was nothing to commit.
    public mutating func endFetch(_ fetch: Int, committed ids: [StreamID]) throws(AllocationFailure) {
        let floor = try takeFloor(fetch)
        defer { update() }
        for id in ids {
            if id <= floor { throw .wentBackwards(id: id, floor: floor) }
            recordOwnFinished(id)
        }
    }

    /// The fetch failed, or its answer is not waited for any more. An ID that comes later must not be used.
    public mutating func abortFetch(_ fetch: Int) {
        _ = floors.end(fetch)
        update()
    }

    /// The ID is committed, or a tombstone holds it. False when it was not in flight.
    @discardableResult
    public mutating func finish(_ id: StreamID) -> Bool {
        defer { update() }
        return finishOwn(id)
    }

    /// The same, unless its scope has no say about it any more. False when it was not held, and then nothing changes.
    public mutating func finishHeld(_ id: StreamID) -> Bool {
        defer { update() }
        return finishOwn(id, ifHeld: true)
    }

    /// The ID is void: the database has started again since it was handed out, and holds no row of it. Nothing of this
    /// instance will appear under it; but the sequence may hand it out once more, to anybody, so it is neither known
    /// nor finished. False when it was not in flight.
    @discardableResult
    public mutating func discard(_ id: StreamID) -> Bool {
        defer { update() }
        return discardOwn(id)
    }

    /// The database is in another life: no ID that this instance was given before it joined there counts any more, and no
    /// answer to a fetch that has begun before. Returns the IDs.
    public mutating func forgetInFlight() -> [StreamID] {
        defer { update() }
        let ids = inFlight.inFlight.map(\.id)
        inFlight = InFlightIDs()
        floors.endAll()
        return ids
    }

    /// The scope has no say about the ID any more: it stays in flight until it is finished. False when it is not held.
    public mutating func giveUp(_ id: StreamID) -> Bool {
        inFlight.giveUp(id)
    }

    public func phase(of id: StreamID) -> InFlightIDs.Phase? { inFlight.phase(of: id) }
    public func expired(at now: Duration) -> [Int: [StreamID]] { inFlight.expired(at: now) }
    public var earliestDeadline: Duration? { inFlight.earliestDeadline }

    mutating func discardOwn(_ id: StreamID) -> Bool {
        withPassed { inFlight, passed in inFlight.discard(id, passed: passed) }
    }

    mutating func finishOwn(_ id: StreamID, ifHeld: Bool = false) -> Bool {
        let wasInFlight = withPassed { inFlight, passed in inFlight.finish(id, ifHeld: ifHeld, passed: passed) }
        if wasInFlight { known = max(known, id) }
        return wasInFlight
    }

    /// What has nothing of this instance in flight below it is what others' gaps may be waiting for. What is passed in
    /// one go ascends, so that runs of it are inserted as ranges: one mostly, and many only where many have gathered
    /// behind an ID that is stuck.
    private mutating func withPassed(_ body: (inout InFlightIDs, (StreamID) -> Void) -> Bool) -> Bool {
        var runs: [ClosedRange<StreamID>] = []
        var run: ClosedRange<StreamID>?
        let result = body(&inFlight) { id in
            if let current = run, current.upperBound.rawValue + 1 == id.rawValue {
                run = current.lowerBound...id
            } else {
                if let run { runs.append(run) }
                run = id...id
            }
        }
        guard let run else { return result }
        if runs.isEmpty {
            finished.insert(run)
        } else {
            runs.append(run)
            finished.insert(ascending: runs)
        }
        return result
    }

    private mutating func recordOwnFinished(_ id: StreamID) {
        known = max(known, id)
        if id > minimum { finished.insert(id...id) }
    }

    private mutating func takeFloor(_ fetch: Int) throws(AllocationFailure) -> StreamID {
        guard let floor = floors.end(fetch) else { throw .late }
        return floor
    }

    private func check(_ ids: [StreamID], asked count: Int, floor: StreamID) throws(AllocationFailure) {
        guard ids.count == count else { throw .wrongCount(asked: count, got: ids.count) }
        var previous = floor
        for id in ids {
            if id > floor, id <= previous { throw .notAscending(id: id) }
            try check(id, above: floor)
            previous = id
        }
    }

    private func check(_ id: StreamID, above floor: StreamID) throws(AllocationFailure) {
        guard id > floor else { throw .wentBackwards(id: id, floor: floor) }
        guard inFlight.phase(of: id) == nil else { throw .handedOutTwice(id: id) }
    }
}

extension PositionTracker {
    /// A position was heard, or read from the database. Nothing happens when this epoch is no member, or is this
    /// instance itself.
    ///
    /// Positions are promised up to what is durably allocated, so what is heard is known.
    public mutating func advance(_ writer: Writer, to position: StreamID) {
        guard others.raise(writer, to: position) else { return }
        known = max(known, position)
        update()
    }

    /// These IDs are finished: their rows, events or tombstones, were heard of or read.
    public mutating func recordFinished(_ range: ClosedRange<StreamID>) {
        known = max(known, range.upperBound)
        if range.upperBound > minimum { finished.insert(range) }
        update()
    }

    /// Something at this ID is committed: it is known from now on.
    public mutating func recordKnown(_ id: StreamID) {
        guard id > known else { return }
        known = id
        update()
    }

    /// Takes the members as the database has them. Older ones change nothing; the same version only raises positions.
    ///
    /// With a newer version the minimum follows the members, down too: a writer of a new epoch is at exactly its
    /// durable position; one of the same epoch keeps the higher one that was heard. IDs of this instance at or below
    /// its own new durable position are in flight no more: the database refuses them from now on.
    ///
    /// - Returns: the IDs of this instance that were closed.
    @discardableResult
    public mutating func updateMembers(_ members: [Writer: StreamID], version: Int) -> [StreamID] {
        guard version >= membershipVersion else { return [] }
        known = max(known, members.values.max() ?? known)
        if version > membershipVersion { replaceMembers(members, version: version) }
        for (writer, position) in members { _ = others.raise(writer, to: position) }
        var closed: [StreamID] = []
        if let own, let durable = members[own] { closed = close(through: durable) }
        update()
        return closed
    }

    /// What one snapshot of the database says: its members, the newest committed ID, and IDs that are finished.
    ///
    /// - Returns: the IDs of this instance that were closed.
    @discardableResult
    public mutating func take(
        _ membership: Membership, newestCommitted: StreamID, finished: [ClosedRange<StreamID>] = []
    ) -> [StreamID] {
        let closed = updateMembers(membership.members, version: membership.version)
        for range in finished { recordFinished(range) }
        recordKnown(newestCommitted)
        // Without members nobody can commit, and who joins later begins above: what the snapshot holds is all.
        if membership.members.isEmpty, newestCommitted > minimum, membership.version == membershipVersion {
            recordFinished(StreamID(minimum.rawValue + 1)...newestCommitted)
        }
        return closed
    }

    /// From now on this instance is this writer: another epoch of its name in the members is another process.
    public mutating func pin(to writer: Writer) {
        precondition(writer.instance == instance, "\(writer) is not an epoch of \(instance)")
        pinned = writer
        // The members may have been read after it joined, and before it knew.
        guard own != writer, let position = others.position(of: writer) else { return }
        own = writer
        ownPosition = position
        others = PositionHeap(
            Dictionary(uniqueKeysWithValues: others.all.filter { $0.writer != writer }.map { ($0.writer, $0.position) })
        )
        update()
    }

    private mutating func replaceMembers(_ members: [Writer: StreamID], version: Int) {
        membershipVersion = version
        let mine = members.keys.first { $0.instance == instance && (pinned == nil || $0 == pinned) }
        if let mine, mine != own { ownPosition = members[mine] ?? 0 }
        own = mine
        others = PositionHeap(
            members.filter { $0.key != mine }
                .reduce(into: [:]) { heard, member in
                    heard[member.key] = max(member.value, others.position(of: member.key) ?? member.value)
                })
        if let mine, let durable = members[mine] { ownPosition = max(ownPosition, durable) }
        if let least {
            minimum = finished.endOfRun(after: least)
        }
    }

    /// Whether this instance was a member, and the newest members do not have it: it was retired, or its name taken.
    public var hasLostMembership: Bool { own == nil && pinned != nil }

    /// Whether exactly this epoch is a member.
    public func isMember(_ writer: Writer) -> Bool {
        writer == own || others.position(of: writer) != nil
    }

    /// The epoch in which the instance is a member.
    public func epoch(of instance: InstanceName) -> Int? {
        own?.instance == instance ? own?.epoch : others.epoch(of: instance)
    }

    /// The durable position of this instance, as the database answered: somebody may have raised it.
    public mutating func close(_ writer: Writer, through durable: StreamID) {
        guard writer == own else { return }
        known = max(known, durable)
        _ = close(through: durable)
        update()
    }

    private mutating func close(through durable: StreamID) -> [StreamID] {
        let closed = inFlight.idsInFlight(through: durable)
        // Nothing of this instance will appear under them, and its position says so. They are not finished for anybody
        // else: where the database has started again since, another writer may hold the same ID by now.
        for id in closed { _ = discardOwn(id) }
        ownPosition = max(ownPosition, durable)
        return closed
    }
}

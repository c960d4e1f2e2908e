extension PositionTracker {
    /// A position was heard. Nothing happens when this epoch is no member, or is this instance itself.
    ///
    /// Positions are promised up to what is durably allocated: where that is true, what is heard may be promised.
    public mutating func advance(_ writer: Writer, to position: StreamID) {
        guard let member = others.number(of: writer), hears(position, of: member) else { return }
        guard others.raise(member, to: position) else { return }
        update()
    }

    /// The ID of this writer is finished: its row, an event or a tombstone, was heard of. Nothing happens when this
    /// epoch is no member, or is this instance itself.
    public mutating func advance(_ writer: Writer, finished id: StreamID) {
        guard let member = others.number(of: writer), hears(id, of: member) else { return }
        if id > minimum { finished.insert(id...id) }
        update()
    }

    /// The same of whomever: somebody else vouches for it.
    public mutating func hear(finished id: StreamID) {
        if sequence == nil {
            known = max(known, id)
        } else {
            hearsay.hear(id)
        }
        if id > minimum { finished.insert(id...id) }
        update()
    }

    private mutating func hears(_ id: StreamID, of member: Int) -> Bool {
        if sequence == nil {
            known = max(known, id)
            return true
        }
        return hearsay.hear(id, of: member)
    }

    /// These IDs are finished: their rows, events or tombstones, were read from the database.
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
    public mutating func updateMembers(
        _ members: [Writer: StreamID], version: Int, nonces: [Writer: Int64] = [:]
    ) -> [StreamID] {
        guard version >= membershipVersion else { return [] }
        if version > membershipVersion || !nonces.isEmpty { self.nonces = nonces }
        known = max(known, members.values.max() ?? known)
        if version > membershipVersion { replaceMembers(members, version: version) }
        for (writer, position) in members {
            guard let member = others.number(of: writer) else { continue }
            _ = others.raise(member, to: position)
            hearsay.read(position, of: member)
        }
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
        let closed = updateMembers(
            membership.members, version: membership.version, nonces: membership.nonces)
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
        guard own != writer, let member = others.number(of: writer) else { return }
        own = writer
        // Not what was heard of it: this instance has not spoken as this writer yet.
        ownPosition = hearsay.durable(of: member)
        others = PositionHeap(
            Dictionary(uniqueKeysWithValues: others.all.filter { $0.writer != writer }.map { ($0.writer, $0.position) })
        )
        hearsay.replaceMembers(others.all.map { ($0.writer, 0) })
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
        hearsay.replaceMembers(others.all.map { ($0.writer, members[$0.writer] ?? 0) })
        if let mine, let durable = members[mine] { ownPosition = max(ownPosition, durable) }
        if let least {
            minimum = finished.endOfRun(after: max(least, confirmed))
        }
    }

    /// Whether this instance was a member, and the newest members do not have it: it was retired, or its name taken.
    public var hasLostMembership: Bool { own == nil && pinned != nil }

    /// Whether exactly this epoch is a member.
    public func isMember(_ writer: Writer) -> Bool {
        writer == own || others.position(of: writer) != nil
    }

    /// What somebody is who speaks, by the members that the database gave last. The nonce counts before anything else.
    public func standing(of speaker: Speaker) -> EventFeed.Standing {
        let writer = speaker.writer
        if writer.instance == instance, let pinned, writer.epoch <= pinned.epoch {
            return writer == pinned && speaker.nonce != nonces[writer] ? .foreign : .own
        }
        if isMember(writer) { return speaker.nonce == nonces[writer] ? .member : .foreign }
        return (epoch(of: writer.instance) ?? -1) < writer.epoch ? .stranger : .outdated
    }

    /// The members as they speak.
    public var speakers: Set<Speaker> {
        var speakers = Set(others.all.map { Speaker($0.writer, nonce: nonces[$0.writer]) })
        if let own { speakers.insert(Speaker(own, nonce: nonces[own])) }
        return speakers
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

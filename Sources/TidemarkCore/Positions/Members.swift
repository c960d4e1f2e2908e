/// The members, as the database said last, which of them this instance is, and the positions of the others, as they were
/// heard.
///
/// Invariants:
///
/// - A name is a member in one epoch at most, and this instance is never among the others.
/// - A pinned instance is a member as the writer that it was pinned to, or not at all.
struct Members: Sendable {
    /// The name of this instance.
    let instance: InstanceName
    /// This instance as a member; nil when it only reads.
    private(set) var own: Writer?
    /// The version of the members that are loaded.
    private(set) var version: Int
    /// What the members drew when they joined.
    private(set) var nonces: [Writer: Int64]
    /// When set, this instance is this writer and no other: another epoch of its name is another process.
    private(set) var pinned: Writer?
    /// What that writer drew when it joined: the same epoch with another one is another process, too.
    private var pinnedNonce: Int64?
    /// The others, with what was heard of them.
    var others: PositionHeap

    init(instance: InstanceName, members: [Writer: StreamID], version: Int, nonces: [Writer: Int64]) {
        self.instance = instance
        self.version = version
        self.nonces = nonces
        own = members.keys.first { $0.instance == instance }
        others = PositionHeap(members.filter { $0.key.instance != instance })
    }

    var count: Int { others.count + (own == nil ? 0 : 1) }

    /// Takes those of a newer version, or of the same, whose nonces may not have been known yet.
    ///
    /// A writer of a new epoch is at exactly its durable position; one of the same epoch and nonce keeps the higher one that
    /// was heard.
    ///
    /// - Returns: for a newer version, which of the new members were members before.
    mutating func take(_ members: [Writer: StreamID], version: Int, nonces: [Writer: Int64]) -> Set<Writer>? {
        let noncesBefore = self.nonces
        if version > self.version || !nonces.isEmpty { self.nonces = nonces }
        guard version > self.version else { return nil }
        self.version = version
        own = members.keys.first {
            $0.instance == instance && (pinned == nil || $0 == pinned && isPinned(self.nonces[$0]))
        }
        // The same name and epoch with another nonce is another writer.
        let same = Set(members.keys.filter { self.nonces[$0] == noncesBefore[$0] })
        var heard = members.filter { $0.key != own }
        for (writer, position) in others.all where same.contains(writer) {
            if let durable = heard[writer] { heard[writer] = max(durable, position) }
        }
        others = PositionHeap(heard)
        return same
    }

    /// From now on this instance is this writer.
    ///
    /// - Returns: whether it was taken for one of the others until now: the members may have been read after it joined, and
    ///   before it knew.
    mutating func pin(to writer: Writer, nonce: Int64?) -> Bool {
        precondition(writer.instance == instance, "\(writer) is not an epoch of \(instance)")
        pinned = writer
        pinnedNonce = nonce
        guard own != writer, others.position(of: writer) != nil else { return false }
        own = writer
        let rest = others.all.filter { $0.writer != writer }
        others = PositionHeap(Dictionary(uniqueKeysWithValues: rest.map { ($0.writer, $0.position) }))
        return true
    }

    private func isPinned(_ nonce: Int64?) -> Bool {
        guard let pinnedNonce, let nonce else { return true }
        return nonce == pinnedNonce
    }

    /// Whether exactly this epoch is a member.
    func contains(_ writer: Writer) -> Bool { writer == own || others.position(of: writer) != nil }

    /// The epoch in which the instance is a member.
    func epoch(of instance: InstanceName) -> Int? {
        own?.instance == instance ? own?.epoch : others.epoch(of: instance)
    }

    /// What somebody is who speaks. The nonce counts before anything else.
    func standing(of speaker: Speaker) -> EventFeed.Standing {
        let writer = speaker.writer
        if writer.instance == instance, let pinned, writer.epoch <= pinned.epoch {
            return writer == pinned && speaker.nonce != nonces[writer] ? .foreign : .own
        }
        if contains(writer) { return speaker.nonce == nonces[writer] ? .member : .foreign }
        return (epoch(of: writer.instance) ?? -1) < writer.epoch ? .stranger : .outdated
    }

    /// The members as they speak.
    var speakers: Set<Speaker> {
        var speakers = Set(others.all.map { Speaker($0.writer, nonce: nonces[$0.writer]) })
        if let own { speakers.insert(Speaker(own, nonce: nonces[own])) }
        return speakers
    }
}

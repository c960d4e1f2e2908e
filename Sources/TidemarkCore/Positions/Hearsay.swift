/// What was only heard of other members: how high, when, and which of them are muted at present.
///
/// An honest announcement follows its commit, so that the sequence is at or above it when it arrives. What was heard
/// before a snapshot was opened and lies above the sequence of that snapshot is therefore false. Its sender is not heard
/// until the database has been asked for everything once more.
///
/// Members have numbers, those of ``PositionHeap``.
struct Hearsay: Sendable {
    private struct Said {
        let writer: Writer
        /// The position that the database has of it.
        var durable: StreamID
        /// The highest ID that it told of, and the number of that message.
        var highest: StreamID = 0
        var message = 0
        /// The message at which it was found to have said something false; nil while it is heard.
        var mutedAt: Int?
    }

    /// The highest ID that anybody told of.
    private(set) var highest: StreamID = 0
    /// Messages are numbered, so that it can be told what was heard before something and what after.
    private(set) var lastMessage = 0
    private var members: [Said] = []
    /// The highest ID that was heard without a sender.
    private var anonymous: StreamID = 0
    private var hasMuted = false

    /// The members in the order of their numbers, with their durable positions. What is known of those that stay is kept.
    mutating func replaceMembers(_ members: [(writer: Writer, durable: StreamID)]) {
        var before: [Writer: Said] = [:]
        for said in self.members { before[said.writer] = said }
        self.members = members.map { writer, durable in
            var said = before[writer] ?? Said(writer: writer, durable: durable)
            said.durable = max(said.durable, durable)
            return said
        }
        // What former members said may be in what was computed by now, so that it still counts.
        for said in self.members { before[said.writer] = nil }
        for said in before.values { anonymous = max(anonymous, said.highest) }
        lookAgain()
    }

    /// The database has this position of the member.
    mutating func read(_ position: StreamID, of member: Int) {
        if members[member].durable < position { members[member].durable = position }
    }

    /// The position that the database has of the member.
    func durable(of member: Int) -> StreamID { members[member].durable }

    /// False when the member is not heard at present.
    mutating func hear(_ id: StreamID, of member: Int) -> Bool {
        lastMessage += 1
        if hasMuted, members[member].mutedAt != nil { return false }
        if id > members[member].highest {
            members[member].highest = id
            members[member].message = lastMessage
            if id > highest { highest = id }
        }
        return true
    }

    mutating func hear(_ id: StreamID) {
        anonymous = max(anonymous, id)
        highest = max(highest, id)
    }

    /// Something that was heard by the time of `message` is above the sequence that was read after that: takes back what
    /// is above it, and mutes its senders.
    ///
    /// - Returns: the members that told of it, with their durable positions.
    mutating func takeBack(
        above sequence: StreamID, heardBy message: Int
    ) -> [(member: Int, writer: Writer, durable: StreamID)] {
        lastMessage += 1
        var found: [(member: Int, writer: Writer, durable: StreamID)] = []
        // A liar that goes on, higher each time, hides what it said before. Then every member that is above the sequence by
        // now is muted; an honest one among them loses a moment.
        let isNamed = members.contains { $0.highest > sequence && $0.message <= message } || anonymous > sequence
        for (number, said) in members.enumerated()
        where said.highest > sequence && (said.message <= message || !isNamed) {
            members[number].highest = said.durable
            members[number].mutedAt = lastMessage
            hasMuted = true
            found.append((number, said.writer, said.durable))
        }
        if anonymous > sequence { anonymous = 0 }
        lookAgain()
        return found
    }

    /// The database was asked for everything after `message`: members that were muted before that are heard again.
    mutating func hearAgain(mutedBy message: Int) {
        guard hasMuted else { return }
        for (number, said) in members.enumerated() {
            if let mutedAt = said.mutedAt, mutedAt <= message { members[number].mutedAt = nil }
        }
        lookAgain()
    }

    private mutating func lookAgain() {
        highest = members.reduce(anonymous) { max($0, $1.highest) }
        hasMuted = members.contains { $0.mutedAt != nil }
    }
}

/// Something that was heard and cannot be true: it is above the sequence of a snapshot that was opened later.
public struct FalseNews: Hashable, Sendable {
    /// The highest ID that was heard.
    public let heard: StreamID
    /// The sequence of the snapshot.
    public let sequence: StreamID
    /// In whose names it was said; empty where that cannot be told any more.
    public let writers: [Writer]
}

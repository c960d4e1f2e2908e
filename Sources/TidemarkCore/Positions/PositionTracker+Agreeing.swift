/// What is heard is bounded (rules 1 and 2): nothing above the sequence can have been promised.
extension PositionTracker {
    /// What an instance goes by, noted before a snapshot is opened, and compared with it afterwards.
    public struct Note: Hashable, Sendable {
        public let watermark: Watermark
        /// The highest ID that is known from the database.
        public let known: StreamID
        /// The highest ID that was only heard.
        public let heard: StreamID
        /// The highest minimum that a snapshot has confirmed.
        public let confirmed: StreamID
        /// The last message that was heard.
        fileprivate let message: Int
    }

    /// Changes nothing. (It is mutating so that whoever owns the tracker need not have it copied for the call.)
    public mutating func note() -> Note {
        Note(
            watermark: watermark, known: known, heard: hearsay.highest, confirmed: confirmed,
            message: hearsay.lastMessage)
    }

    /// A snapshot that was opened after the note has this sequence and this membership version.
    ///
    /// Where something that was heard before it is above its sequence, everything that follows from it is taken back: who
    /// said it is where the database has it, and is not heard until ``hearAgain(_:)``. The minimum then is what the
    /// database says, and never below what a snapshot has confirmed.
    ///
    /// - Returns: what was false; nil where nothing was. Then the minimum of the note is confirmed, if the version is its.
    public mutating func agree(_ note: Note, sequence read: StreamID, membershipVersion version: Int) -> FalseNews? {
        if let before = sequence { sequence = max(before, read) }
        guard note.heard > read else {
            if version == note.watermark.membershipVersion { confirmed = max(confirmed, note.watermark.minimum) }
            promisable = max(promisable, note.heard)
            update()
            return nil
        }
        let found = hearsay.takeBack(above: read, heardBy: note.message)
        for (member, _, durable) in found { others.lower(member, to: durable) }
        finished.removeRanges(above: max(read, known))
        minimum = confirmed
        update()
        return FalseNews(heard: note.heard, sequence: read, writers: found.map(\.writer))
    }

    /// Everything was read from the database in a snapshot that was opened after the note: who had said something false
    /// before that is heard again.
    public mutating func hearAgain(_ note: Note) {
        hearsay.hearAgain(mutedBy: note.message)
        update()
    }
}

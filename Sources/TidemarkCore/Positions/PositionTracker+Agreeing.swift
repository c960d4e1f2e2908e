/// How an instance agrees with the database: what it goes by is noted before a snapshot is opened, and compared with it afterwards.
extension PositionTracker {
    /// What an instance goes by, noted before a snapshot is opened, and compared with it afterwards.
    public struct Note: Hashable, Sendable {
        /// The minimum then, with the version of its members.
        public let watermark: Watermark
        /// The highest ID that is known from the database.
        public let known: StreamID
        /// The highest ID that was only heard.
        public let heard: StreamID
        /// The highest minimum that a snapshot has confirmed.
        public let confirmed: StreamID
        /// The newest era that was known.
        public let era: Era?
        /// The last message that was heard.
        fileprivate let message: Int
    }

    /// What the database has lost of what is known and confirmed, for people; nil where it has lost nothing.
    ///
    /// What was read since the note counts too: where the snapshot has the era that was seen last, it is not from before that, and
    /// what is known is of that era or of earlier ones.
    ///
    /// - Parameter eras: the newest ones of a snapshot that was opened after the note.
    public mutating func loss(since note: Note, in eras: [Era]) -> String? {
        if let problem = Era.loss(through: max(note.known, note.confirmed), seen: note.era, in: eras) { return problem }
        guard let era, eras.contains(era) else { return nil }
        return Era.loss(through: max(known, confirmed), seen: era, in: eras)
    }

    /// Changes nothing, as ``marks()``.
    public mutating func note() -> Note {
        Note(
            watermark: watermark, known: known, heard: hearsay.highest, confirmed: confirmed, era: era,
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

    /// The newest eras of a snapshot. With another one every epoch is over, and what is in flight is void, or committed for others
    /// to see. What was only heard is taken back where it is handed out again: its rows are lost, or were never there.
    ///
    /// - Returns: the IDs of this instance that were in flight.
    mutating func sees(_ eras: [Era]) -> [StreamID] {
        guard let newest = eras.last, newest != era else { return [] }
        guard let seen = era else {
            era = newest
            return []
        }
        // An answer from before what is known by now. Where it is a loss, whoever read it has said so.
        guard let place = eras.firstIndex(of: seen), place + 1 < eras.endIndex else { return [] }
        era = newest
        let begin = eras[place + 1].after
        for (member, _, durable) in hearsay.takeBack(above: begin, heardBy: hearsay.lastMessage) {
            others.lower(member, to: durable)
        }
        finished.removeRanges(above: max(begin, known))
        promisable = min(promisable, begin)
        minimum = max(min(minimum, begin), confirmed)
        return forgetInFlight()
    }
}

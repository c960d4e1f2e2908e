/// Which database it is: a random number, drawn when it was made. 0 for a backup that nobody has joined yet.
public struct DatabaseID: Hashable, Sendable, CustomStringConvertible {
    /// The number that the database keeps.
    public let rawValue: Int64

    /// For stores, which draw or read the number.
    public init(_ rawValue: Int64) { self.rawValue = rawValue }

    public var description: String { "\(rawValue)" }
}

/// A place in a stream, to be kept outside of the database, beside what was made of the events up to it. A consumer
/// that begins there sees whether the database is the one that it was.
public struct EventPlace: Hashable, Sendable, LosslessStringConvertible {
    /// The database that the events came from.
    public let database: DatabaseID
    /// Everything up to this ID lies before the place.
    public let id: StreamID
    /// The mark of the last event at or below the ID; nil where there was none, or it is not known.
    public let mark: CommitMark?
    /// The newest incarnation in which the stream had begun an era when the place was reached, where the store has eras: a
    /// database that lost commits hands out IDs again, which no mark tells where they had no event.
    public let era: Incarnation?

    /// For readers and stores. Text that was kept is read by ``init(_:)``.
    public init(database: DatabaseID, id: StreamID, mark: CommitMark?, era: Incarnation? = nil) {
        self.database = database
        self.id = id
        self.mark = mark
        self.era = era
    }

    /// One short text to keep: `database:id:mark:era`; without the last ones where there are none, and with nothing between
    /// two colons where only the mark is missing.
    public var description: String {
        let end = era.map { ":\($0)" } ?? ""
        return "\(database):\(id)\(mark.map { ":\($0)" } ?? (era == nil ? "" : ":"))\(end)"
    }

    /// The place of a text that ``description`` gave; nil for any other.
    public init?(_ description: String) {
        let fields = description.split(separator: ":", omittingEmptySubsequences: false)
        let numbers = fields.map { Int64($0) }
        guard (2...4).contains(numbers.count), let database = numbers[0], let id = numbers[1], id >= 0 else {
            return nil
        }
        // A mark may be left out before an era.
        let hasMark = numbers.count > 2 && !(numbers.count == 4 && fields[2].isEmpty)
        if hasMark, numbers[2] == nil { return nil }
        if numbers.count == 4, numbers[3] == nil { return nil }
        self.init(
            database: DatabaseID(database), id: StreamID(id), mark: hasMark ? numbers[2].map { CommitMark($0) } : nil,
            era: numbers.count == 4 ? numbers[3].map { Incarnation($0) } : nil)
    }
}

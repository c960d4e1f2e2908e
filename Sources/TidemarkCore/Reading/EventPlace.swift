/// Which database it is: a random number, drawn when it was made. 0 for a backup that nobody has joined yet.
public struct DatabaseID: Hashable, Sendable, CustomStringConvertible {
    /// The number that the database keeps.
    public let rawValue: Int64

    /// For stores, which draw or read the number.
    public init(_ rawValue: Int64) { self.rawValue = rawValue }

    public var description: String { "\(rawValue)" }
}

/// A place in a stream, for whoever keeps it outside of the database, beside what was made of the events up to it. A consumer
/// that begins there sees whether the database is the one that it was.
public struct EventPlace: Hashable, Sendable, LosslessStringConvertible {
    /// The database that the events came from.
    public let database: DatabaseID
    /// Everything up to this ID lies before the place.
    public let id: StreamID
    /// The mark of the last event at or below the ID; nil where there was none, or it is not known.
    public let mark: CommitMark?

    /// For readers and stores. Text that was kept is read by ``init(_:)``.
    public init(database: DatabaseID, id: StreamID, mark: CommitMark?) {
        self.database = database
        self.id = id
        self.mark = mark
    }

    /// One short text to keep: `database:id:mark`, or `database:id`.
    public var description: String { "\(database):\(id)\(mark.map { ":\($0)" } ?? "")" }

    /// The place of a text that ``description`` gave; nil for any other.
    public init?(_ description: String) {
        let numbers = description.split(separator: ":", omittingEmptySubsequences: false).map { Int64($0) }
        guard (2...3).contains(numbers.count), let database = numbers[0], let id = numbers[1], id >= 0 else {
            return nil
        }
        if numbers.count == 3, numbers[2] == nil { return nil }
        self.init(
            database: DatabaseID(database), id: StreamID(id),
            mark: numbers.count == 3 ? numbers[2].map { CommitMark($0) } : nil)
    }
}

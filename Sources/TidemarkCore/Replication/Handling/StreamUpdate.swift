/// What one writer wrote under one token of a stream: all rows of it, in order.
///
/// One without rows says that the writer's position is there, and that nothing of it is missing up to there.
public struct StreamUpdate: Hashable, Sendable {
    public let writer: Writer
    public let token: StreamID
    public let rows: [JSONText]

    public init(writer: Writer, token: StreamID, rows: [JSONText]) {
        self.writer = writer
        self.token = token
        self.rows = rows
    }

    /// Roughly the memory that it takes, in bytes.
    var size: Int { rows.reduce(128) { $0 + 32 + $1.text.utf8.count } }
}

/// An answer of a source that cannot be right.
public enum InvalidStreamUpdates: Error, Hashable, Sendable, CustomStringConvertible {
    /// The updates are not of this writer, not ascending, or not in the range that was asked for.
    case unexpected(token: StreamID, after: StreamID, through: StreamID)
    /// It says that there is more, and has nothing.
    case noProgress(after: StreamID)

    public var description: String {
        switch self {
        case .unexpected(let token, let after, let through):
            "the source answered with token \(token) where those above \(after) up to \(through) were to come in order"
        case .noProgress(let after):
            "the source says that there is more than it answered with, and answered with nothing above \(after)"
        }
    }
}

public import TidemarkCore
public import TidemarkWire

/// What one writer wrote under one token of a stream: all rows of it, in order.
///
/// One without rows says that the writer's position is there, and that nothing of it is missing up to there.
public struct StreamUpdate: Hashable, Sendable {
    /// The writer of the rows.
    public let writer: Writer
    /// The ID that all of the rows share.
    public let token: StreamID
    /// The rows in the order in which they were sent; empty where only the position is told.
    public let rows: [JSONText]

    /// For sources of a stream; nothing is checked.
    public init(writer: Writer, token: StreamID, rows: [JSONText]) {
        self.writer = writer
        self.token = token
        self.rows = rows
    }

    /// Roughly the memory that it takes, in bytes.
    var size: Int { rows.reduce(128) { $0 + 32 + $1.text.utf8.count } }
}

extension RowFeed {
    /// What waits to be handed on.
    enum Item {
        case update(StreamUpdate)
        case position(HeardPosition)

        var writer: Writer {
            switch self {
            case .update(let update): update.writer
            case .position(let position): position.speaker.writer
            }
        }
        var highest: StreamID {
            switch self {
            case .update(let update): update.token
            case .position(let position): max(position.previous, position.new)
            }
        }
        var size: Int {
            switch self {
            case .update(let update): update.size
            case .position: 128
            }
        }
    }
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

/// Puts the rows of one ID together: all but the last come as `batch`, the last carries the ID.
///
/// The rows of all writers that wait for their last one are bounded together; a batch that would be larger is thrown
/// away, and so is the rest of it when that comes.
struct RowBatches: Sendable {
    enum Outcome: Hashable, Sendable {
        case incomplete
        /// The rows of the ID.
        case complete([JSONText])
        /// Rows of the ID were thrown away: it has to be fetched.
        case incompleteID
    }

    private struct Batch {
        var rows: [JSONText] = []
        var size = 0
        var isSkipped = false
    }

    private let limit: Int
    private var batches: [Writer: Batch] = [:]
    private var size = 0

    /// - Parameter limit: roughly in bytes.
    init(limit: Int) {
        self.limit = limit
    }

    mutating func add(_ row: ReplicationRow) -> Outcome {
        guard case .batch = row.token else {
            guard let batch = batches.removeValue(forKey: row.writer) else { return .complete([row.row]) }
            size -= batch.size
            return batch.isSkipped ? .incompleteID : .complete(batch.rows + [row.row])
        }
        let rowSize = 32 + row.row.text.utf8.count
        var batch = batches.removeValue(forKey: row.writer) ?? Batch()
        if !batch.isSkipped {
            batch.rows.append(row.row)
            batch.size += rowSize
            size += rowSize
        }
        if size > limit {
            size -= batch.size
            batch = Batch(isSkipped: true)
        }
        batches[row.writer] = batch
        return .incomplete
    }

    /// Throws away what there is of the writer's batch, and the rest of it when that comes. Whether there was any.
    mutating func discard(of writer: Writer) -> Bool {
        guard let batch = batches[writer], !batch.isSkipped else { return false }
        size -= batch.size
        batches[writer] = Batch(isSkipped: true)
        return true
    }

    /// Nothing more is heard of the writer. Whether there were any rows.
    mutating func remove(of writer: Writer) -> Bool {
        guard let batch = batches.removeValue(forKey: writer) else { return false }
        size -= batch.size
        return !batch.isSkipped
    }

    /// Nothing more comes of any batch: the connection is gone. How many had rows.
    mutating func removeAll() -> Int {
        defer {
            batches = [:]
            size = 0
        }
        return batches.values.count { !$0.isSkipped }
    }
}

public import TidemarkCore

/// `RDATA stream instance token row`: one row that a writer wrote. The instance is `name#epoch.nonce`.
public struct ReplicationRow: Hashable, Sendable {
    /// Where a row belongs.
    public enum Token: Hashable, Sendable {
        /// To this ID, of which it is the last row.
        case id(StreamID)
        /// More rows of the same ID follow; the last carries the ID.
        case batch
    }

    /// The stream.
    public let stream: StreamName
    /// The writer of the row.
    public let writer: Writer
    /// What the writer drew when it joined; nil for a peer that speaks without it.
    public let nonce: Int64?
    /// The ID, or that more rows of it follow.
    public let token: Token
    /// What was written, in the form that the stream has. An event log sends `null` for a tombstone.
    public let row: JSONText

    /// The writer with its nonce.
    public var speaker: Speaker { Speaker(writer, nonce: nonce) }

    /// The ID that is finished with this row; nil where more rows of it follow.
    public var heard: HeardRow? {
        guard case .id(let id) = token else { return nil }
        return HeardRow(speaker, id: id)
    }

    /// Nothing is checked beyond what the types say.
    public init(stream: StreamName, writer: Writer, nonce: Int64? = nil, token: Token, row: JSONText) {
        self.stream = stream
        self.writer = writer
        self.nonce = nonce
        self.token = token
        self.row = row
    }
}

/// `POSITION stream instance previous new`: the instance wrote no rows between the two.
public struct ReplicationPosition: Hashable, Sendable {
    /// The stream.
    public let stream: StreamName
    /// The writer whose position it is.
    public let writer: Writer
    /// What the writer drew when it joined; nil for a peer that speaks without it.
    public let nonce: Int64?
    /// Equal to `new` when the writer cannot say.
    public let previous: StreamID
    /// The promise: nothing of this writer at or below it will be committed from now on.
    public let new: StreamID

    /// The writer with its nonce.
    public var speaker: Speaker { Speaker(writer, nonce: nonce) }

    /// The same without the stream.
    public var heard: HeardPosition { HeardPosition(speaker, previous: previous, new: new) }

    /// Nothing is checked beyond what the types say.
    public init(stream: StreamName, writer: Writer, nonce: Int64? = nil, previous: StreamID, new: StreamID) {
        self.stream = stream
        self.writer = writer
        self.nonce = nonce
        self.previous = previous
        self.new = new
    }
}

/// `CHECKPOINT stream consumer position`: the consumer's checkpoint has moved there. It only wakes callers that wait for that;
/// the database says whether it is so.
public struct ReplicationCheckpoint: Hashable, Sendable {
    /// The stream.
    public let stream: StreamName
    /// The consumer whose checkpoint it is.
    public let consumer: ConsumerName
    /// Where the checkpoint is, at least.
    public let position: StreamID

    /// Nothing is checked beyond what the types say.
    public init(stream: StreamName, consumer: ConsumerName, position: StreamID) {
        self.stream = stream
        self.consumer = consumer
        self.position = position
    }
}

extension [ReplicationCommand] {
    /// The commands that are left out when those at `tooLong` cannot be sent: these, and all other rows here of the same
    /// IDs. Half an event helps nobody.
    package func leftOut(tooLong: some Sequence<Int>) -> Set<Int> {
        tooLong.reduce(into: []) { leftOut, index in
            leftOut.insert(index)
            leftOut.formUnion(rowsOfSameID(as: index))
        }
    }

    private func rowsOfSameID(as index: Int) -> [Int] {
        guard case .rdata(let long) = self[index] else { return [] }
        /// The rows that this writer wrote to this stream; the last one of an ID is the one that carries it.
        let rows = enumerated().compactMap { index, command -> (index: Int, isLast: Bool)? in
            guard case .rdata(let row) = command, row.stream == long.stream, row.writer == long.writer else {
                return nil
            }
            return (index, row.token != .batch)
        }
        let before = rows.prefix { $0.index < index }.reversed().prefix { !$0.isLast }.map(\.index)
        let after = rows.drop { $0.index < index }
        let last = after.firstIndex { $0.isLast } ?? after.endIndex - 1
        return before + after[...last].map(\.index)
    }
}

extension [ReplicationCommand] {
    /// These commands without those at `leftOut`. Where that takes the rows of an ID, a position comes in their place
    /// that has receivers fetch them: its previous token is the ID, above what anybody has heard of the writer, and its
    /// new one promises nothing.
    ///
    /// A transport cannot promise more in a writer's place: that an event of ID 25 is too long for a line does not say
    /// that 24 is finished. Software that takes only positions ahead of what it has goes by the writer's own next one,
    /// whose previous token is not below the ID either.
    package func replacingRows(_ leftOut: Set<Int>) -> [ReplicationCommand] {
        indices.compactMap { index in
            guard leftOut.contains(index) else { return self[index] }
            guard case .rdata(let row) = self[index], case .id(let id) = row.token else { return nil }
            return .position(.inPlaceOfRows(of: row.speaker, in: row.stream, through: id))
        }
    }
}

/// Rows that were dropped before they were sent, by the positions that have receivers fetch them.
///
/// A receiver takes the row after a dropped one for the next: rows are not numbered without gaps. So the position has to be
/// sent before anything that follows. A position that was dropped may have told of rows that were not sent; these are
/// told of again. There is one entry for each stream and writer that this process speaks for.
package struct DroppedRows: Sendable {
    private struct Origin: Hashable {
        let stream: StreamName
        let speaker: Speaker
    }

    private var highest: [Origin: StreamID] = [:]

    package init() {}

    /// The rows of one ID are all of them here, as transports are given them.
    package mutating func add(_ commands: [ReplicationCommand]) {
        for command in commands {
            switch command {
            case .rdata(let row):
                if case .id(let id) = row.token { add(Origin(stream: row.stream, speaker: row.speaker), through: id) }
            case .position(let position):
                add(Origin(stream: position.stream, speaker: position.speaker), through: position.previous)
            default:
                break
            }
        }
    }

    private mutating func add(_ origin: Origin, through id: StreamID) {
        highest[origin] = max(id, highest[origin] ?? id)
    }

    /// What is to be sent in their place.
    package mutating func takePositions() -> [ReplicationCommand] {
        defer { highest = [:] }
        return highest.map { .position(.inPlaceOfRows(of: $0.key.speaker, in: $0.key.stream, through: $0.value)) }
    }
}

extension ReplicationPosition {
    /// Says that rows up to this ID were not sent: its previous token is the ID, above what anybody has heard of the
    /// writer, and its new one promises nothing.
    static func inPlaceOfRows(of speaker: Speaker, in stream: StreamName, through id: StreamID) -> ReplicationPosition {
        ReplicationPosition(
            stream: stream, writer: speaker.writer, nonce: speaker.nonce, previous: id,
            new: id > 0 ? 0 : StreamID(.min))
    }
}

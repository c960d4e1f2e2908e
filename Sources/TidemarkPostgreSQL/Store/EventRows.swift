import Tidemark

/// The rows of events in an answer, in the columns of ``columns``.
struct EventRows: Sendable {
    static let columns = "stream_id, kind, mark, persisted_at, writer, event_id, type, key, payload, metadata"

    private let rows: PostgresRows
    private let names: [Int64: InstanceName]
    /// Most rows have the writer of the row before.
    private var latest: (writer: Int64, name: InstanceName)?

    /// Looks the names of writers up that are not known.
    init(_ rows: PostgresRows, _ names: WriterNames, _ session: PostgresSession, _ namespace: PostgresNamespace) throws
    {
        self.rows = rows
        var writers: Set<Int64> = []
        var last: Int64?
        for row in 0..<rows.count {
            let writer = try rows.int64(row, 4)
            if writer != last { writers.insert(writer) }
            last = writer
        }
        self.names = try names.names(of: writers, session, namespace)
    }

    var count: Int { rows.count }

    func isExternal(_ row: Int) throws -> Bool { try rows.int64(row, 1) == 2 }

    func isTombstone(_ row: Int) throws -> Bool { try rows.int64(row, 1) == 1 }

    /// How many of the rows may be delivered at once, and whether these are not all that there are.
    ///
    /// A row whose payload the server left out because of its size ends them. The bytes are those of metadata too.
    func cut(limit: Int, byteLimit: Int) throws -> (count: Int, isTruncated: Bool) {
        var bytes = 0
        for row in 0..<rows.count {
            if row >= limit || bytes >= byteLimit { return (row, true) }
            if rows.isNull(row, 8), try !isExternal(row) { return (row, true) }
            bytes += rows.bytes(row, 8).count + rows.bytes(row, 9).count
        }
        return (rows.count, false)
    }

    mutating func event(_ row: Int) throws -> PersistedEvent {
        PersistedEvent(
            event: Event(
                id: try rows.text(row, 5), type: try rows.text(row, 6), key: try rows.textIfAny(row, 7),
                metadata: try metadata(row), payload: try rows.byteArray(row, 8)),
            streamID: StreamID(try rows.int64(row, 0)), instance: try instance(row),
            persistedAtMilliseconds: try rows.milliseconds(row, 3), mark: CommitMark(try rows.int64(row, 2)))
    }

    mutating func externalEvent(_ row: Int) throws -> ExternalEvent {
        ExternalEvent(
            streamID: StreamID(try rows.int64(row, 0)), instance: try instance(row),
            persistedAtMilliseconds: try rows.milliseconds(row, 3), mark: CommitMark(try rows.int64(row, 2)))
    }

    /// The row where it lies.
    mutating func withRaw(_ row: Int, _ body: (RawEvent) throws -> Void) throws {
        let instance = try instance(row)
        let rows = rows
        let (isExternal, persistedAt) = (try isExternal(row), try rows.milliseconds(row, 3))
        let (streamID, mark) = (StreamID(try rows.int64(row, 0)), CommitMark(try rows.int64(row, 2)))
        try body(
            RawEvent(
                streamID: streamID, isExternal: isExternal, id: rows.bytes(row, 5), type: rows.bytes(row, 6),
                key: rows.bytesIfAny(row, 7), payload: rows.bytes(row, 8), metadata: rows.bytesIfAny(row, 9),
                instance: instance, persistedAtMilliseconds: persistedAt, mark: mark))
    }

    func delivered(_ row: Int) throws -> Delivered {
        Delivered(
            streamID: StreamID(try rows.int64(row, 0)), mark: CommitMark(try rows.int64(row, 2)),
            eventID: try rows.textIfAny(row, 5))
    }

    private func metadata(_ row: Int) throws -> [String: String] {
        if rows.isNull(row, 9) { return [:] }
        do {
            return try MetadataText.metadata(try rows.byteArray(row, 9))
        } catch is DecodingError {
            throw UnreadableMetadata(id: try rows.int64(row, 0))
        }
    }

    private mutating func instance(_ row: Int) throws -> InstanceName {
        let writer = try rows.int64(row, 4)
        if let latest, latest.writer == writer { return latest.name }
        guard let name = names[writer] else { throw UnknownWriter(writer: writer) }
        latest = (writer, name)
        return name
    }
}

/// A row names a writer that has never joined: it was not written by Tidemark.
struct UnknownWriter: Error, CustomStringConvertible {
    let writer: Int64

    var description: String { "a row names writer \(writer), which has never joined" }
}

/// The metadata of a row is no JSON object of texts: it was not written by Tidemark.
struct UnreadableMetadata: Error, CustomStringConvertible {
    let id: Int64

    var description: String { "the metadata of event \(id) is no JSON object of texts" }
}

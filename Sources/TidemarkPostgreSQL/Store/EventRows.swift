import Tidemark

/// The rows of events in an answer, in the columns of ``columns``.
struct EventRows {
    static let columns = "stream_id, kind, mark, persisted_at, writer, event_id, type, key, payload, metadata"

    private let rows: PostgresRows
    private let names: [Int64: InstanceName]

    /// Looks the names of writers up that are not known.
    init(_ rows: PostgresRows, _ names: WriterNames, _ session: PostgresSession, _ namespace: PostgresNamespace) throws
    {
        self.rows = rows
        let writers = try Set((0..<rows.count).map { try rows.int64($0, 4) })
        self.names = try names.names(of: writers, session, namespace)
    }

    var count: Int { rows.count }

    func isExternal(_ row: Int) throws -> Bool { try rows.int64(row, 1) == 2 }

    func isTombstone(_ row: Int) throws -> Bool { try rows.int64(row, 1) == 1 }

    /// Those of its metadata too.
    func payloadBytes(_ row: Int) -> Int { rows.bytes(row, 8).count + rows.bytes(row, 9).count }

    func event(_ row: Int) throws -> PersistedEvent {
        PersistedEvent(
            event: Event(
                id: try rows.text(row, 5), type: try rows.text(row, 6), key: try rows.textIfAny(row, 7),
                metadata: try metadata(row), payload: try rows.byteArray(row, 8)),
            streamID: StreamID(try rows.int64(row, 0)), instance: try instance(row),
            persistedAtMilliseconds: try rows.milliseconds(row, 3), mark: CommitMark(try rows.int64(row, 2)))
    }

    func externalEvent(_ row: Int) throws -> ExternalEvent {
        ExternalEvent(
            streamID: StreamID(try rows.int64(row, 0)), instance: try instance(row),
            persistedAtMilliseconds: try rows.milliseconds(row, 3), mark: CommitMark(try rows.int64(row, 2)))
    }

    private func metadata(_ row: Int) throws -> [String: String] {
        if rows.isNull(row, 9) { return [:] }
        do {
            return try MetadataText.metadata(try rows.byteArray(row, 9))
        } catch is DecodingError {
            throw UnreadableMetadata(id: try rows.int64(row, 0))
        }
    }

    private func instance(_ row: Int) throws -> InstanceName {
        let writer = try rows.int64(row, 4)
        guard let name = names[writer] else { throw UnknownWriter(writer: writer) }
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

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif
import GRDB
import Tidemark

/// Makes events from the rows of one snapshot, quickly: what most rows have in common is made once.
struct EventDecoder {
    private let db: Database
    private var types = RepeatedText()
    private var keys = RepeatedText()
    private var latest: (writer: Int64, instance: InstanceName)?
    private var instances: [Int64: InstanceName] = [:]

    init(_ db: Database) { self.db = db }

    /// The event of a row that was selected with the columns stream_id, event_id, type, key, payload, writer,
    /// persisted_at, commit_number and metadata.
    mutating func event(_ row: Query) throws -> PersistedEvent {
        let instance = try instance(ofWriter: row.number(5))
        return PersistedEvent(
            event: Event(
                id: row.text(1), type: types.text(row.textBytes(2)),
                key: row.textBytesIfAny(3).map { keys.text($0) }, metadata: try metadata(row), payload: row.bytes(4)),
            streamID: row.streamID(0), instance: instance, persistedAtMilliseconds: row.number(6),
            mark: CommitMark(row.number(7)))
    }

    private func metadata(_ row: Query) throws -> [String: String] {
        guard let text = row.textBytesIfAny(8) else { return [:] }
        do {
            return try MetadataText.metadata(text)
        } catch {
            throw DatabaseError(
                resultCode: .SQLITE_CORRUPT, message: "the metadata of an event is no JSON object of texts")
        }
    }

    /// The same of a row whose event is in a table of the user's own.
    mutating func externalEvent(_ row: Query) throws -> ExternalEvent {
        ExternalEvent(
            streamID: row.streamID(0), instance: try instance(ofWriter: row.number(5)),
            persistedAtMilliseconds: row.number(6), mark: CommitMark(row.number(7)))
    }

    /// Shows the same row where it lies; how many bytes its payload and metadata have.
    ///
    /// - Parameter isExternal: whether its event is in a table of the user's own, so that nothing else is here.
    mutating func withRawEvent(_ row: Query, isExternal: Bool, _ body: (RawEvent) throws -> Void) throws -> Int {
        let (id, type, key, payload) = (row.textBytes(1), row.textBytes(2), row.textBytesIfAny(3), row.blob(4))
        let metadata = row.textBytesIfAny(8)
        // What is borrowed is valid until the next step, which comes after `body`.
        try body(
            RawEvent(
                streamID: row.streamID(0), isExternal: isExternal, id: id.span, type: type.span, key: key?.span,
                payload: payload.span, metadata: metadata?.span, instance: try instance(ofWriter: row.number(5)),
                persistedAtMilliseconds: row.number(6), mark: CommitMark(row.number(7))))
        return payload.count + (metadata?.count ?? 0)
    }

    /// A query for each writer of the batch costs less than a join for each row.
    private mutating func instance(ofWriter row: Int64) throws -> InstanceName {
        if let latest, latest.writer == row { return latest.instance }
        let instance = try instances[row] ?? name(ofWriter: row)
        instances[row] = instance
        latest = (row, instance)
        return instance
    }

    private func name(ofWriter row: Int64) throws -> InstanceName {
        let name =
            try Query.first(db, "SELECT instance FROM tidemark_instances WHERE writer = ?", row) { $0.text(0) }
            ?? Query.first(db, "SELECT instance FROM tidemark_former_instances WHERE writer = ?", row) { $0.text(0) }
        guard let name else {
            throw DatabaseError(resultCode: .SQLITE_CORRUPT, message: "an event names a writer that is not there")
        }
        return try InstanceName(validating: name)
    }
}

/// Makes a text once for rows that follow each other and have the same.
private struct RepeatedText {
    private var latest = ""

    /// Compared as bytes: Swift's `==` equates texts of different bytes.
    mutating func text(_ bytes: UnsafeBufferPointer<UInt8>) -> String {
        let isSame = latest.withUTF8 { latest in
            guard latest.count == bytes.count, let one = latest.baseAddress, let other = bytes.baseAddress else {
                return latest.count == bytes.count
            }
            return memcmp(one, other, bytes.count) == 0
        }
        if !isSame { latest = String(decoding: bytes, as: UTF8.self) }
        return latest
    }
}

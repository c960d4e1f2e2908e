import GRDB
import GRDBSQLite
import Tidemark

/// Reads rows of events into values, quickly: what most rows have in common is made once.
struct EventBatch {
    private var type = ""
    private var instance: InstanceName?

    /// The event of a row that has been selected with the columns stream_id, event_id, type, key, payload,
    /// persisted_at, commit_number and instance.
    mutating func event(_ row: Query) throws -> PersistedEvent {
        Self.reuse(&type, for: row.textBytes(2))
        return PersistedEvent(
            event: Event(
                id: row.text(1), type: type, key: row.isNull(3) ? nil : row.text(3), payload: row.bytes(4)),
            streamID: row.streamID(0), instance: try instance(row), persistedAtMilliseconds: row.number(5),
            commitNumber: row.number(6))
    }

    private mutating func instance(_ row: Query) throws -> InstanceName {
        let bytes = row.textBytes(7)
        if let instance, instance.rawValue.utf8.elementsEqual(bytes) { return instance }
        let name = try InstanceName(validating: String(decoding: bytes, as: UTF8.self))
        instance = name
        return name
    }

    /// Compared as bytes: Swift's `==` equates texts of different bytes.
    private static func reuse(_ text: inout String, for bytes: UnsafeBufferPointer<UInt8>) {
        if !text.utf8.elementsEqual(bytes) { text = String(decoding: bytes, as: UTF8.self) }
    }
}

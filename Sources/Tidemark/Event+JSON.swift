#if canImport(FoundationEssentials)
internal import FoundationEssentials
#else
internal import Foundation
#endif

extension Event {
    /// An event whose payload is a value as JSON, its members in the order of their names.
    ///
    /// - Throws: what the value's encoding throws.
    public init(
        id: String, type: String, key: String? = nil, metadata: [String: String] = [:], json value: some Encodable
    ) throws {
        self.init(
            id: id, type: type, key: key, metadata: metadata, payload: Array(try JSONEncoder.sorted.encode(value)))
    }
}

extension PersistedEvent {
    /// The value that the payload has as JSON.
    ///
    /// - Throws: ``UndecodableEvent``.
    public func decoded<Value: Decodable>(as type: Value.Type = Value.self) throws -> Value {
        do {
            return try JSONDecoder().decode(type, from: Data(event.payload))
        } catch {
            throw UndecodableEvent(
                streamID: streamID, eventID: event.id, type: event.type, valueType: "\(Value.self)",
                problem: Self.problem(error))
        }
    }

    /// Where in the payload it is, and what is wrong there.
    private static func problem(_ error: any Error) -> String {
        func at(_ path: [any CodingKey]) -> String {
            path.isEmpty
                ? "" : " at " + path.map { $0.intValue.map(String.init) ?? $0.stringValue }.joined(separator: ".")
        }
        switch error {
        case DecodingError.keyNotFound(let key, let context):
            return "\"\(key.stringValue)\" is missing\(at(context.codingPath))"
        case DecodingError.valueNotFound(let type, let context): return "no \(type)\(at(context.codingPath))"
        case DecodingError.typeMismatch(let type, let context):
            return "something else than \(type)\(at(context.codingPath))"
        case DecodingError.dataCorrupted(let context): return context.debugDescription + at(context.codingPath)
        default: return "\(error)"
        }
    }
}

/// The payload of an event is not the value that was asked for.
public struct UndecodableEvent: Error, Hashable, Sendable, CustomStringConvertible {
    /// The event's place in the stream.
    public let streamID: StreamID
    /// The event's id.
    public let eventID: String
    /// The event's type.
    public let type: String
    /// The name of the Swift type that was asked for.
    public let valueType: String
    /// Where in the payload it is, and what is wrong there; nothing of the payload itself is in it.
    public let problem: String

    /// A sentence about the event and what to do.
    public var description: String {
        "event \"\(eventID.prefix(64))\" (ID \(streamID), type \"\(type.prefix(64))\") is no \(valueType): \(problem); "
            + "decode each type of event, and each version of its schema, as what it was written as"
    }
}

extension JSONEncoder {
    fileprivate static var sorted: JSONEncoder {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return encoder
    }
}

/// For stores: a filter as a text, one JSON object.
package enum FilterText {
    private struct Columns: Codable {
        var types: [String]?
        var keys: [String]?
        var keyPrefix: String?

        private enum CodingKeys: String, CodingKey {
            case types, keys
            case keyPrefix = "key_prefix"
        }
    }

    /// Nil for `EventFilter.all`.
    package static func text(_ filter: EventFilter) throws -> String? {
        if filter == .all { return nil }
        func texts(_ set: Set<[UInt8]>?) -> [String]? {
            set.map { $0.sorted { $0.lexicographicallyPrecedes($1) }.map { String(decoding: $0, as: UTF8.self) } }
        }
        let columns = Columns(
            types: texts(filter.types), keys: texts(filter.keys),
            keyPrefix: filter.keyPrefix.map { String(decoding: $0, as: UTF8.self) })
        return String(decoding: try JSONEncoder.sorted.encode(columns), as: UTF8.self)
    }

    /// What a statement compares with: JSON arrays of types and of keys, and what keys begin with; each nil where all pass.
    package static func parameters(
        _ filter: EventFilter
    ) throws -> (types: String?, keys: String?, keyPrefix: String?) {
        func array(_ set: Set<[UInt8]>?) throws -> String? {
            try set.map { set in
                let texts = set.map { String(decoding: $0, as: UTF8.self) }
                return String(decoding: try JSONEncoder.sorted.encode(texts), as: UTF8.self)
            }
        }
        return (
            try array(filter.types), try array(filter.keys),
            filter.keyPrefix.map { String(decoding: $0, as: UTF8.self) }
        )
    }

    /// - Throws: where it is not what ``text(_:)`` has made: somebody else has written it.
    package static func filter(_ text: String?) throws -> EventFilter {
        guard let text else { return .all }
        let columns = try JSONDecoder().decode(Columns.self, from: Data(text.utf8))
        func set(_ texts: [String]?) -> Set<[UInt8]>? { texts.map { Set($0.map { Array($0.utf8) }) } }
        return EventFilter(
            types: set(columns.types), keys: set(columns.keys), keyPrefix: columns.keyPrefix.map { Array($0.utf8) })
    }
}

/// For stores: metadata as a text, one JSON object.
package enum MetadataText {
    /// Nil for an event without metadata.
    package static func text(_ metadata: [String: String]) throws -> String? {
        if metadata.isEmpty { return nil }
        return String(decoding: try JSONEncoder.sorted.encode(metadata), as: UTF8.self)
    }

    /// - Throws: where it is not what ``text(_:)`` has made: somebody else has written it.
    package static func metadata(_ text: some Sequence<UInt8>) throws -> [String: String] {
        try JSONDecoder().decode([String: String].self, from: Data(text))
    }
}

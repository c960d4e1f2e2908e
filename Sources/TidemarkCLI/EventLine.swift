import Foundation
import Tidemark

/// What is wrong with a line of the input.
enum InvalidEventLine: Error, Equatable, CustomStringConvertible {
    case tooLong(limit: Int)
    case notUTF8
    case notJSON(InvalidJSONText)
    case notAnObject
    case missing(member: String)
    case notAString(member: String)
    case repeated(member: String)
    /// The text of a member is not one that can be kept.
    case invalidText(member: String)
    /// It is beyond what an event may be.
    case beyondLimits(String)

    var description: String {
        switch self {
        case .tooLong(let limit): "the line is longer than a payload may be, \(limit) bytes"
        case .notUTF8: "the line is not UTF-8"
        case .notJSON(.unexpected(let offset)): "the line is not JSON from byte \(offset + 1) on"
        case .notJSON(.incomplete): "the line ends in the middle of a JSON value"
        case .notJSON(.lineBreak(let offset)): "the line has a carriage return inside, at byte \(offset + 1)"
        case .notJSON(.tooDeep): "the line is nested more than \(JSONText.maximumDepth) deep"
        case .notJSON(let problem): "the line is not JSON: \(problem)"
        case .notAnObject: "the line is not a JSON object"
        case .missing(let member): "the event has no \"\(member)\""
        case .notAString(let member): "the event's \"\(member)\" is not a string"
        case .repeated(let member): "the event has more than one \"\(member)\""
        case .invalidText(let member): "the event's \"\(member)\" has an escape that stands for no character"
        case .beyondLimits(let problem): "the event cannot be persisted: \(problem)"
        }
    }
}

/// Makes events of lines: one JSON object each, with a string `id`, a string `type` and perhaps a string `key`. The
/// payload is the line itself.
struct EventLineParser: Sendable {
    let stream: StreamName
    let limits: EventLimits

    /// What some editors and exports begin a file with; a file may have been appended to another one.
    private static let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]

    /// Nil for a blank line, which says nothing.
    func event(_ content: InputLines.Content) throws(InvalidEventLine) -> Event? {
        guard case .bytes(let bytes) = content else { throw .tooLong(limit: limits.payloadBytes) }
        if bytes.starts(with: Self.byteOrderMark) { return try event(Array(bytes.dropFirst(Self.byteOrderMark.count))) }
        return try event(bytes)
    }

    private func event(_ bytes: [UInt8]) throws(InvalidEventLine) -> Event? {
        // A carriage return at the end is part of the line, and space to JSON.
        let json = bytes.last == UInt8(ascii: "\r") ? bytes.dropLast() : bytes[...]
        if json.allSatisfy({ $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }) { return nil }
        try Self.check(json)
        var members = EventMembers()
        try members.find(in: json)
        guard let id = members.id else { throw .missing(member: "id") }
        guard let type = members.type else { throw .missing(member: "type") }
        let event = Event(id: id, type: type, key: members.key, payload: bytes)
        do {
            try limits.check(event, in: stream)
        } catch TidemarkError.invalidEvent(_, _, let problem) {
            throw .beyondLimits(problem)
        } catch {
            throw .beyondLimits("\(error)")
        }
        return event
    }

    private static func check(_ json: ArraySlice<UInt8>) throws(InvalidEventLine) {
        guard let text = String(validating: json, as: UTF8.self) else { throw .notUTF8 }
        do {
            _ = try JSONText(validating: text)
        } catch {
            throw .notJSON(error)
        }
    }
}

/// The members of a JSON object that an event has columns for.
private struct EventMembers {
    var id: String?
    var type: String?
    var key: String?
    private var hasKey = false

    /// `json` is known to be one JSON value: outside strings brackets match, and commas separate.
    mutating func find(in json: ArraySlice<UInt8>) throws(InvalidEventLine) {
        var scanner = JSONMemberScanner(json)
        guard scanner.enterObject() else { throw .notAnObject }
        while let (name, value) = scanner.next() {
            switch JSONMemberScanner.text(name) {
            case "id":
                if id != nil { throw .repeated(member: "id") }
                id = try string(value, "id")
            case "type":
                if type != nil { throw .repeated(member: "type") }
                type = try string(value, "type")
            case "key":
                if hasKey { throw .repeated(member: "key") }
                hasKey = true
                key = value.elementsEqual("null".utf8) ? nil : try string(value, "key")
            default: break
            }
        }
    }

    private func string(_ value: ArraySlice<UInt8>, _ member: String) throws(InvalidEventLine) -> String {
        guard value.first == UInt8(ascii: "\"") else { throw .notAString(member: member) }
        guard let text = JSONMemberScanner.text(value) else { throw .invalidText(member: member) }
        return text
    }
}

import Foundation
import Tidemark

/// The lines that `tail` writes.
enum OutputLine {
    /// Appends a line for each event of the batch, in order.
    static func append(_ batch: EventBatch, to lines: inout [UInt8]) {
        var external = batch.externalEvents[...]
        for event in batch.events {
            while let first = external.first, first.streamID < event.streamID {
                append(external.removeFirst(), to: &lines)
            }
            append(event, to: &lines)
        }
        for event in external { append(event, to: &lines) }
    }

    /// Only the place of an event in a table of the user's own is known here: its `event` is null.
    private static func append(_ event: ExternalEvent, to lines: inout [UInt8]) {
        appendPlace(event.streamID, event.instance, event.persistedAtMilliseconds, to: &lines)
        lines += "null}\n".utf8
    }

    /// Everything up to the event itself.
    private static func appendPlace(
        _ id: StreamID, _ instance: InstanceName, _ persistedAtMilliseconds: Int64, to line: inout [UInt8]
    ) {
        line += "{\"stream_id\":\(id),\"instance\":\(JSONString.quoted(instance.rawValue))".utf8
        line += ",\"persisted_at\":\"\(Timestamp.text(persistedAtMilliseconds))\",\"event\":".utf8
    }

    /// Appends one JSON object and a newline. A payload that is JSON on one line goes in byte for byte; of any other
    /// payload, which another program may have written, the bytes are in base64.
    static func append(_ persisted: PersistedEvent, to line: inout [UInt8]) {
        let event = persisted.event
        appendPlace(persisted.streamID, persisted.instance, persisted.persistedAtMilliseconds, to: &line)
        if isOneLineJSON(event.payload) {
            line += event.payload
        } else {
            line += "{\"id\":\(JSONString.quoted(event.id)),\"type\":\(JSONString.quoted(event.type))".utf8
            if let key = event.key { line += ",\"key\":\(JSONString.quoted(key))".utf8 }
            line += "},\"payload_base64\":\"\(Data(event.payload).base64EncodedString())\"".utf8
        }
        line += "}\n".utf8
    }

    /// A carriage return at the end is space to JSON, and was part of the line.
    static func isOneLineJSON(_ bytes: [UInt8]) -> Bool {
        let json = bytes.last == UInt8(ascii: "\r") ? bytes.dropLast() : bytes[...]
        guard let text = String(validating: json, as: UTF8.self) else { return false }
        return (try? JSONText(validating: text)) != nil
    }
}

enum JSONString {
    /// The text as a JSON string, with its quotes.
    static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\":
                quoted += "\\"
                quoted.unicodeScalars.append(scalar)
            case "\0"..<" ":
                let digits = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default:
                quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}

/// One JSON value on one line, kept as it came: spaces, order of keys and escapes.
///
/// It is checked to be JSON as RFC 8259 defines it, nested at most ``maximumDepth`` deep; what it means is the
/// reader's business (keys may repeat, and numbers be larger than any type). Compared as bytes.
public struct JSONText: UTF8Text {
    /// Arrays and objects inside each other. Readers of JSON that call themselves for each level need such a limit.
    public static var maximumDepth: Int { 128 }

    public let text: String

    /// - Throws: ``InvalidJSONText``.
    public init(validating text: String) throws(InvalidJSONText) {
        var text = text
        let result: Result<Void, InvalidJSONText> = text.withUTF8 { bytes in
            Result { () throws(InvalidJSONText) in try JSONSyntax.check(bytes.span, 0..<bytes.count) }
        }
        try result.get()
        self.text = text
    }

    /// The JSON `null`: the row of a tombstone.
    public static var null: JSONText { JSONText(checked: "null") }

    /// `text` was found to be JSON without line breaks.
    init(checked text: String) { self.text = text }
}

/// Why a text is not one JSON value on one line. Offsets count bytes from 0.
public enum InvalidJSONText: Error, Hashable, Sendable, CustomStringConvertible {
    /// This byte cannot be here.
    case unexpected(at: Int)
    /// The value is not complete.
    case incomplete
    /// The array or object that begins here is one level too deep.
    case tooDeep(at: Int)
    /// JSON allows line breaks between values, a line does not.
    case lineBreak(at: Int)
    /// It is JSON, but not what the command takes.
    case unexpectedValue(String)

    public var description: String {
        switch self {
        case .unexpected(let offset): "it is not JSON from byte \(offset) on"
        case .incomplete: "it ends in the middle of a JSON value"
        case .tooDeep(let offset): "at byte \(offset) it is nested more than \(JSONText.maximumDepth) deep"
        case .lineBreak(let offset): "a line break is at byte \(offset): give JSON on one line"
        case .unexpectedValue(let expected): "it must be \(expected)"
        }
    }
}

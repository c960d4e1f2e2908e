import TidemarkCore

/// A text that is compared byte for byte.
///
/// Swift's strings are equal when they look the same: an `é` of one character and one of two are equal strings, and
/// are different lines. Commands are equal exactly when their lines are.
protocol UTF8Text: Hashable, Sendable {
    var text: String { get }
}

extension UTF8Text {
    public static func == (left: Self, right: Self) -> Bool {
        left.text.utf8.elementsEqual(right.text.utf8)
    }

    public func hash(into hasher: inout Hasher) {
        var text = text
        text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
        // Ends the text, as two of them may be hashed one after the other.
        hasher.combine(0xFF as UInt8)
    }
}

extension String.UTF8View {
    /// How many bytes come before the first line break.
    var offsetOfLineBreak: Int? {
        var offset = 0
        for byte in self {
            if byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r") { return offset }
            offset += 1
        }
        return nil
    }
}

/// A text that is one field of a line: at least one byte, no spaces and no line breaks. Compared as bytes.
public struct FieldText: UTF8Text, CustomStringConvertible {
    /// The text.
    public let text: String

    /// - Throws: ``InvalidCommandText``.
    public init(validating text: String) throws(InvalidCommandText) {
        if text.isEmpty { throw .empty }
        for (offset, byte) in text.utf8.enumerated() {
            switch byte {
            case UInt8(ascii: " "): throw .space(at: offset)
            case UInt8(ascii: "\n"), UInt8(ascii: "\r"): throw .lineBreak(at: offset)
            default: continue
            }
        }
        self.text = text
    }

    public var description: String { text }
}

/// A text without line breaks: what is left of a line after the name of its command, spaces and all. It may be empty.
///
/// Other control characters are allowed, since peers put the messages of other programs into it; escape them where
/// people see them. Texts are compared as bytes, so that equal commands have equal lines.
public struct SimpleText: UTF8Text {
    /// The text.
    public let text: String

    /// - Throws: ``InvalidCommandText/lineBreak(at:)``.
    public init(validating text: String) throws(InvalidCommandText) {
        if let offset = text.utf8.offsetOfLineBreak { throw .lineBreak(at: offset) }
        self.text = text
    }
}

extension String {
    /// The text for a log or a terminal: characters that do something instead of being seen are written as escapes
    /// (`\u{1B}`).
    package var shown: String {
        // Printable ASCII needs no look at each character.
        if utf8.allSatisfy({ (0x20...0x7E).contains($0) }) { return self }
        return unicodeScalars.reduce(into: "") { shown, scalar in
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator:
                shown += "\\u{" + String(scalar.value, radix: 16, uppercase: true) + "}"
            default:
                shown.unicodeScalars.append(scalar)
            }
        }
    }

    /// The beginning of the text, as ``shown``; `…` stands for the rest.
    package func shown(atMost limit: Int) -> String {
        let beginning = unicodeScalars.prefix(limit)
        return String(beginning).shown + (beginning.endIndex < unicodeScalars.endIndex ? "…" : "")
    }
}

import TidemarkCore

/// One JSON value on one line, kept as it came: spaces, order of keys and escapes.
///
/// It is checked to be JSON as RFC 8259 defines it, nested at most ``maximumDepth`` deep; what it means is the
/// reader's business (keys may repeat, and numbers be larger than any type). Compared as bytes.
public struct JSONText: UTF8Text {
    /// Arrays and objects inside each other. Readers of JSON that call themselves for each level need such a limit.
    public static var maximumDepth: Int { 128 }

    /// The text, byte for byte as it came.
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

/// Reads and writes the flat JSON arrays that some commands carry.
enum JSONElements {
    enum Element {
        case string(String)
        case integer(Int64)
        case null
    }

    /// The elements of an array, each as its bytes without the space around it; nil when it is not an array.
    static func array(_ json: JSONText) -> [ArraySlice<UInt8>]? {
        let bytes = trimmed(Array(json.text.utf8)[...])
        guard bytes.first == UInt8(ascii: "[") else { return nil }
        let inside = trimmed(bytes.dropFirst().dropLast())
        if inside.isEmpty { return [] }
        // The text is known to be JSON: outside strings, brackets match and commas separate.
        var elements: [ArraySlice<UInt8>] = []
        var start = inside.startIndex
        var depth = 0
        var isInString = false
        var offset = inside.startIndex
        while offset < inside.endIndex {
            let byte = inside[offset]
            switch byte {
            case UInt8(ascii: "\\"): offset += 1
            case UInt8(ascii: "\""): isInString.toggle()
            case _ where isInString: break
            case UInt8(ascii: "["), UInt8(ascii: "{"): depth += 1
            case UInt8(ascii: "]"), UInt8(ascii: "}"): depth -= 1
            case UInt8(ascii: ",") where depth == 0:
                elements.append(trimmed(inside[start..<offset]))
                start = offset + 1
            default: break
            }
            offset += 1
        }
        return elements + [trimmed(inside[start...])]
    }

    static func isNull(_ element: ArraySlice<UInt8>) -> Bool { element.elementsEqual("null".utf8) }

    /// A number of 64 bits in its shortest form; nil for all else.
    static func integer(_ element: ArraySlice<UInt8>) -> Int64? {
        FieldReader.number(element.span, 0..<element.count)
    }

    /// The text of a JSON string, its escapes resolved; nil for all else. Half a surrogate pair becomes U+FFFD, since
    /// no text can hold it.
    static func string(_ element: ArraySlice<UInt8>) -> String? {
        guard element.first == UInt8(ascii: "\"") else { return nil }
        let inside = element.dropFirst().dropLast()
        var text = String.UnicodeScalarView()
        var plain = inside.startIndex
        var offset = inside.startIndex
        while offset < inside.endIndex {
            guard inside[offset] == UInt8(ascii: "\\") else {
                offset += 1
                continue
            }
            text.append(contentsOf: String(decoding: inside[plain..<offset], as: UTF8.self).unicodeScalars)
            text.append(scalar(inside, escapedAt: &offset))
            plain = offset
        }
        text.append(contentsOf: String(decoding: inside[plain...], as: UTF8.self).unicodeScalars)
        return String(text)
    }

    /// What the escape that begins at the offset stands for; moves the offset behind it.
    private static func scalar(_ bytes: ArraySlice<UInt8>, escapedAt offset: inout Int) -> Unicode.Scalar {
        let letter = bytes[offset + 1]
        guard letter == UInt8(ascii: "u") else {
            offset += 2
            switch letter {
            case UInt8(ascii: "b"): return "\u{8}"
            case UInt8(ascii: "f"): return "\u{C}"
            case UInt8(ascii: "n"): return "\n"
            case UInt8(ascii: "r"): return "\r"
            case UInt8(ascii: "t"): return "\t"
            default: return Unicode.Scalar(letter)
            }
        }
        let first = hexadecimal(bytes[(offset + 2)..<(offset + 6)])
        offset += 6
        if (0xD800..<0xDC00).contains(first), bytes[offset...].starts(with: "\\u".utf8) {
            let second = hexadecimal(bytes[(offset + 2)..<(offset + 6)])
            if (0xDC00..<0xE000).contains(second) {
                offset += 6
                return Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00)) ?? "\u{FFFD}"
            }
        }
        return Unicode.Scalar(first) ?? "\u{FFFD}"
    }

    private static func hexadecimal(_ digits: ArraySlice<UInt8>) -> UInt32 {
        digits.reduce(0) { $0 << 4 | ($1.hexadecimalValue ?? 0) }
    }

    private static func trimmed(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        func isSpace(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }
        var bytes = bytes.drop(while: isSpace)
        while let last = bytes.last, isSpace(last) { bytes.removeLast() }
        return bytes
    }

    /// The array on one line, in its shortest form.
    static func array(of elements: [Element]) -> JSONText {
        var text = "["
        for element in elements {
            if text.utf8.count > 1 { text += "," }
            switch element {
            case .string(let string): text += quoted(string)
            case .integer(let number): text += String(number)
            case .null: text += "null"
            }
        }
        return JSONText(checked: text + "]")
    }

    private static func quoted(_ string: String) -> String {
        var text = "\""
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"", "\\":
                text += "\\"
                text.unicodeScalars.append(scalar)
            case "\0"..<" ":
                let digits = String(scalar.value, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default:
                text.unicodeScalars.append(scalar)
            }
        }
        return text + "\""
    }
}

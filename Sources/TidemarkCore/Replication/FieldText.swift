/// A text that is one field of a line: at least one byte, no spaces and no line breaks. Compared as bytes.
public struct FieldText: UTF8Text, CustomStringConvertible {
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

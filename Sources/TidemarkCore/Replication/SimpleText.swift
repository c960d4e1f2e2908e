/// A text without line breaks: what is left of a line after the name of its command, spaces and all. It may be empty.
///
/// Other control characters are allowed, since peers put the messages of other programs into it; escape them where
/// people see them. Texts are compared as bytes, so that equal commands have equal lines.
public struct SimpleText: UTF8Text {
    public let text: String

    /// - Throws: ``InvalidCommandText/lineBreak(at:)``.
    public init(validating text: String) throws(InvalidCommandText) {
        if let offset = text.utf8.offsetOfLineBreak { throw .lineBreak(at: offset) }
        self.text = text
    }
}

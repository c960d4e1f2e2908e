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

extension JSONText {
    static let emptyArray = literal("[]")

    /// `["…"]`, the string escaped as RFC 8259 says in section 7.
    static func array(of text: String) -> JSONText {
        var escaped = "[\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": escaped += "\\\""
            case "\\": escaped += "\\\\"
            case "\n": escaped += "\\n"
            case "\r": escaped += "\\r"
            case "\t": escaped += "\\t"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                escaped += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return literal(escaped + "\"]")
    }

    private static func literal(_ text: String) -> JSONText {
        do {
            return try JSONText(validating: text)
        } catch {
            preconditionFailure("\(text) was written as JSON and is not: \(error)")
        }
    }
}

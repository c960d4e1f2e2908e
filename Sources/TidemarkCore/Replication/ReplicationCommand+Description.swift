extension ReplicationCommand: CustomStringConvertible, CustomDebugStringConvertible {
    /// The line for a log or a terminal: without what `USER_IP` must not tell, and with characters that do something
    /// instead of being seen written as escapes.
    public var description: String {
        if case .userIP(let seen) = self { return Self.escaped("\(kind.rawValue) \(seen)") }
        return Self.escaped(line)
    }

    public var debugDescription: String { description }

    private static func escaped(_ text: String) -> String {
        // Printable ASCII needs no look at each character.
        if text.utf8.allSatisfy({ (0x20...0x7E).contains($0) }) { return text }
        return text.unicodeScalars.reduce(into: "") { shown, scalar in
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator:
                shown += "\\u{" + String(scalar.value, radix: 16, uppercase: true) + "}"
            default:
                shown.unicodeScalars.append(scalar)
            }
        }
    }
}

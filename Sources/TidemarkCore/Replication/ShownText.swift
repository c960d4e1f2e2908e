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

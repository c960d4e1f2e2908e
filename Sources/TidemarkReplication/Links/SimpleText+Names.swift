import TidemarkWire

extension SimpleText {
    /// What a server calls itself when nothing else was chosen.
    static let tidemark: SimpleText = {
        do {
            return try SimpleText(validating: "tidemark")
        } catch {
            preconditionFailure("a word is a text without line breaks: \(error)")
        }
    }()

    /// Digits have no line break, so they always make a valid text.
    static func number(_ number: UInt64) -> SimpleText {
        do {
            return try SimpleText(validating: String(number))
        } catch {
            preconditionFailure("\(number) is a text without line breaks: \(error)")
        }
    }
}

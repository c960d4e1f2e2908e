/// A text without line breaks.
public struct SimpleText: Hashable, Sendable {
    public let text: String
    public init(validating text: String) throws { self.text = text }
}

/// JSON on one line, kept as it came.
public struct JSONText: Hashable, Sendable {
    public let text: String
    public init(validating text: String) throws { self.text = text }
    public static var null: JSONText { JSONText(trusted: "null") }
    private init(trusted text: String) { self.text = text }
}

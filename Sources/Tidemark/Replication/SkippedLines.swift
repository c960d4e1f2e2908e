/// Decides which of the lines that cannot be used are worth a sentence in the log: of each sort the first, the tenth, the
/// hundredth and so on. Other software may use the same channel for much that is not known here.
package struct SkippedLines: Sendable {
    /// Names of commands come from outside, and memory has a bound.
    private static let limit = 64
    private var counts: [String: Int] = [:]

    package init() {}

    /// What to say of the line; nil when it was said before, and not ten times as many have come since.
    package mutating func sentence(for error: InvalidReplicationCommand) -> String? {
        let sort =
            switch error {
            case .unknown(let name): "unknown \(name)"
            case .malformed(let kind, _): "malformed \(kind.rawValue)"
            case .lineBreak: "line break"
            case .blank: "blank"
            }
        return sentence(error.description, ofSort: sort)
    }

    package mutating func sentence(forOutOfPlace kind: ReplicationCommand.Kind) -> String? {
        sentence("\(kind.rawValue) is not said through a broker", ofSort: "out of place \(kind.rawValue)")
    }

    private mutating func sentence(_ text: String, ofSort sort: String) -> String? {
        guard let count = counts[sort] else {
            if counts.count >= Self.limit { return nil }
            counts[sort] = 1
            return text
        }
        counts[sort] = count + 1
        return Self.isPowerOfTen(count + 1) ? "\(text) (\(count + 1) such lines so far)" : nil
    }

    private static func isPowerOfTen(_ number: Int) -> Bool {
        var rest = number
        while rest > 1, rest.isMultiple(of: 10) { rest /= 10 }
        return rest == 1
    }
}

import TidemarkCore

/// Decides which of the lines that cannot be used are worth a sentence in the log: the first of each sort. Other software
/// may use the same channel for much that is not known here.
struct SkippedLines {
    /// Names of commands come from outside, and memory has a bound.
    private static let limit = 64
    private var told: Set<String> = []

    /// What to say of the line; nil when it was said before.
    mutating func sentence(for error: InvalidReplicationCommand) -> String? {
        let sort =
            switch error {
            case .unknown(let name): "unknown \(name)"
            case .malformed(let kind, _): "malformed \(kind.rawValue)"
            case .lineBreak: "line break"
            case .blank: "blank"
            }
        return isNew(sort) ? error.description : nil
    }

    mutating func sentence(forOutOfPlace kind: ReplicationCommand.Kind) -> String? {
        isNew("out of place \(kind.rawValue)") ? "\(kind.rawValue) is not said through a broker" : nil
    }

    private mutating func isNew(_ sort: String) -> Bool {
        told.count < Self.limit && told.insert(sort).inserted
    }
}

/// What a figure has to reach, and whether it did.
public struct Bar: Hashable, Sendable {
    public enum Relation: String, Hashable, Sendable {
        case atMost = "at most"
        case atLeast = "at least"
    }

    /// The figure's flat name.
    public let figure: String
    /// Nil when it was not measured, which is not met.
    public let value: Double?
    public let relation: Relation
    public let limit: Double

    public init(_ figure: String, _ value: Double?, _ relation: Relation, _ limit: Double) {
        self.figure = figure
        self.value = value
        self.relation = relation
        self.limit = limit
    }

    public var isMet: Bool {
        guard let value, value.isFinite else { return false }
        return relation == .atMost ? value <= limit : value >= limit
    }

    /// For people.
    public var sentence: String {
        let bar = "\(relation.rawValue) \(NumberText.short(limit))"
        guard let value else { return "\(figure) was not measured; it has to be \(bar)" }
        return "\(figure) is \(NumberText.short(value)); it has to be \(bar)"
    }
}

import Foundation

/// The metrics that the documentation names: the tables of the article *Metrics*.
public struct MetricsTable: Sendable {
    /// A metric with the names of its labels.
    public struct Metric: Hashable, Sendable, CustomStringConvertible {
        public let name: String
        /// `counter`, `gauge` or `timer`.
        public let type: String
        public let labels: [String]

        public init(_ name: String, _ type: String, labels: [String]) {
            self.name = name
            self.type = type
            self.labels = labels
        }

        public var description: String { "\(type) \(name) \(labels)" }
    }

    /// By the heading that they are below.
    public let sections: [String: Set<Metric>]

    /// - Throws: where the article is not there.
    public init() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let article = root.appending(path: "Sources/Tidemark/Tidemark.docc/Metrics.md")
        self.init(parsing: try String(contentsOf: article, encoding: .utf8))
    }

    /// - Parameter text: Markdown, with rows of name, type, unit, labels and what the metric says.
    public init(parsing text: String) {
        var sections: [String: Set<Metric>] = [:]
        var heading = ""
        for line in text.split(separator: "\n") {
            if line.hasPrefix("#") { heading = line.drop { $0 == "#" || $0 == " " }.description }
            let cells = line.split(separator: "|", omittingEmptySubsequences: false).map {
                $0.trimmingCharacters(in: .whitespaces).replacing("`", with: "")
            }
            guard cells.count == 7, cells[1].hasPrefix("tidemark_") else { continue }
            let labels = cells[4].split(separator: ", ").map(String.init)
            sections[heading, default: []].insert(Metric(cells[1], cells[2], labels: labels))
        }
        self.sections = sections
    }
}

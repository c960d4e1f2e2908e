/// Every single value as a dot, a strip a series, with a limit for each.
public struct DotPlot: Sendable {
    public struct Strip: Sendable {
        public let name: String
        /// In milliseconds.
        public let values: [Double]
        public let limit: Double

        public init(name: String, values: [Double], limit: Double) {
            self.name = name
            self.values = values.filter { $0.isFinite && $0 >= 0 }
            self.limit = limit
        }
    }

    public let id: String
    public let title: String
    public let summary: String
    public let strips: [Strip]

    public init(id: String, title: String, summary: String, strips: [Strip]) {
        self.id = id
        self.title = title
        self.summary = summary
        self.strips = strips
    }

    private static let stripHeight = 62.0

    public var plot: Plot {
        let shown = strips.filter { !$0.values.isEmpty }
        guard !shown.isEmpty,
            let axis = Axis.linear(covering: shown.flatMap { ($0.values + [$0.limit]).map { $0 / 1_000 } })
        else { return Plot(id: id, title: title, summary: summary, height: 0, marks: nil) }
        let bottom = 8 + Double(shown.count) * Self.stripHeight
        var drawing = Drawing(left: 8, top: 8, right: 348, bottom: bottom)
        for (index, strip) in shown.enumerated() {
            let top = 8 + Double(index) * Self.stripHeight
            drawing.label(strip.name, x: 8, y: top + 12, class: "label strong")
            let limit = drawing.x(strip.limit / 1_000, on: axis)
            drawing.line(limit, top + 18, limit, top + 54, class: "limit")
            let isFarRight = limit > 270
            drawing.label(
                "limit \(NumberText.duration(milliseconds: strip.limit))", x: limit + (isFarRight ? -5 : 5),
                y: top + 52,
                anchor: isFarRight ? "end" : "start")
            for (number, value) in strip.values.enumerated() {
                // Side by side, so that those that are alike do not hide each other.
                let row = Double(number % 5)
                drawing.dot(
                    x: drawing.x(value / 1_000, on: axis), y: top + 24 + row * 6, class: "dot s\(index + 1)")
            }
        }
        drawing.drawBottom(axis) { NumberText.seconds($0) }
        return Plot(id: id, title: title, summary: summary, height: bottom + 24, marks: drawing.marks)
    }
}

import Foundation

/// Percentiles of several series: how much lies below which value. Each further mark to the right is ten times rarer.
public struct CurvePlot: Sendable {
    public struct Curve: Sendable {
        public let name: String
        /// Percentiles from 0 to 100, ascending, with their values.
        public let points: [(percentile: Double, value: Double)]

        public init(name: String, points: [(percentile: Double, value: Double)]) {
            self.name = name
            self.points = points.filter { (0...100).contains($0.percentile) && $0.value.isFinite }
        }
    }

    public let id: String
    public let title: String
    public let summary: String
    public let curves: [Curve]

    public init(id: String, title: String, summary: String, curves: [Curve]) {
        self.id = id
        self.title = title
        self.summary = summary
        self.curves = curves
    }

    /// One in so many is beyond the right end.
    private static let rarest = 1_000.0

    public var plot: Plot {
        let shown = curves.enumerated().filter { !$0.element.points.isEmpty }
        guard let values = Axis.logarithmic(covering: shown.flatMap { $0.element.points.map(\.value) }),
            let rarities = Axis.logarithmic(covering: [1, Self.rarest])
        else { return Plot(id: id, title: title, summary: summary, height: 0, marks: nil) }
        var drawing = Drawing(left: 52, top: 12, right: 352, bottom: 212)
        drawing.drawLeft(values) { NumberText.duration(milliseconds: $0) }
        drawing.drawBottom(rarities) { rarity in NumberText.percent(1 - 1 / rarity) }
        var marks = drawing.marks
        var keyTop = 252.0
        for (index, curve) in shown {
            var own = Drawing(left: drawing.left, top: drawing.top, right: drawing.right, bottom: drawing.bottom)
            own.path(
                curve.points.map { point in
                    let rarity = 100 / max(100 - point.percentile, 100 / Self.rarest)
                    return (own.x(rarity, on: rarities), own.y(point.value, on: values))
                }, class: "curve s\(index + 1)")
            own.line(own.left, keyTop - 4, own.left + 28, keyTop - 4, class: "curve s\(index + 1)")
            own.label(curve.name, x: own.left + 36, y: keyTop)
            keyTop += 18
            marks.append(.element("g", [:], own.marks))
        }
        return Plot(id: id, title: title, summary: summary, height: keyTop - 6, marks: marks)
    }
}

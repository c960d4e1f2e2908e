/// One panel a series above the other, with the same two axes: how something went over time.
public struct PanelPlot: Sendable {
    public struct Panel: Sendable {
        public let name: String
        /// From left to right: seconds, and the median and the greatest value of that moment.
        public let points: [(x: Double, median: Double, highest: Double)]
        /// What it says where there is no point.
        public let emptyText: String

        public init(name: String, points: [(x: Double, median: Double, highest: Double)], emptyText: String) {
            self.name = name
            self.points = points.filter { $0.x.isFinite && $0.median.isFinite && $0.highest.isFinite }
            self.emptyText = emptyText
        }
    }

    public let id: String
    public let title: String
    public let summary: String
    public let panels: [Panel]

    public init(id: String, title: String, summary: String, panels: [Panel]) {
        self.id = id
        self.title = title
        self.summary = summary
        self.panels = panels
    }

    private static let panelHeight = 100.0

    public var plot: Plot {
        let points = panels.flatMap(\.points)
        guard let values = Axis.logarithmic(covering: points.flatMap { [$0.median, $0.highest] }),
            let times = Axis.linear(covering: points.map(\.x))
        else { return Plot(id: id, title: title, summary: summary, height: 0, marks: nil) }
        var marks: [Markup] = []
        for (index, panel) in panels.enumerated() {
            let top = 22 + Double(index) * Self.panelHeight
            var drawing = Drawing(left: 52, top: top, right: 352, bottom: top + Self.panelHeight - 30)
            drawing.label(panel.name, x: drawing.left, y: top - 7, class: "label strong")
            drawing.drawLeft(values.thinned(to: 3)) { NumberText.duration(milliseconds: $0) }
            if panel.points.isEmpty {
                drawing.label(panel.emptyText, x: drawing.left + 8, y: (top + drawing.bottom) / 2 + 4)
            }
            for point in panel.points where point.highest > point.median {
                let x = drawing.x(point.x, on: times)
                drawing.line(
                    x, drawing.y(point.median, on: values), x, drawing.y(point.highest, on: values),
                    class: "reach s\(index + 1)")
            }
            drawing.path(
                panel.points.map { (drawing.x($0.x, on: times), drawing.y($0.median, on: values)) },
                class: "curve s\(index + 1)")
            let isLast = index == panels.count - 1
            drawing.drawBottom(times) { isLast ? NumberText.seconds($0) : "" }
            marks.append(.element("g", [:], drawing.marks))
        }
        let height = 22 + Double(panels.count) * Self.panelHeight - 6
        return Plot(id: id, title: title, summary: summary, height: height, marks: marks, hasPanels: true)
    }
}

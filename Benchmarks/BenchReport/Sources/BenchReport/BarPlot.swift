/// Bars from left to right, each under its name, perhaps with a limit across all of them.
public struct BarPlot: Sendable {
    public struct Bar: Sendable {
        public let name: String
        public let value: Double
        /// What stands beside the bar: the value in words.
        public let text: String
        /// Which of the colours it has, from 1.
        public let style: Int

        public init(name: String, value: Double, text: String, style: Int = 1) {
            self.name = name
            self.value = value
            self.text = text
            self.style = style
        }
    }

    public let id: String
    public let title: String
    public let summary: String
    /// Bars that belong together, under a name.
    public let groups: [(name: String, bars: [Bar])]
    public let scale: Axis.Scale
    public let limit: (value: Double, text: String)?

    public init(
        id: String, title: String, summary: String, groups: [(name: String, bars: [Bar])],
        scale: Axis.Scale = .linear, limit: (value: Double, text: String)? = nil
    ) {
        self.id = id
        self.title = title
        self.summary = summary
        self.groups = groups.map { ($0.name, $0.bars.filter { $0.value.isFinite }) }.filter { !$0.bars.isEmpty }
        self.scale = scale
        self.limit = limit
    }

    private static let barHeight = 17.0

    public var plot: Plot {
        let values = groups.flatMap { $0.bars.map(\.value) }
        let covered = values.isEmpty ? [] : values + [limit?.value].compactMap { $0 }
        guard let axis = scale == .linear ? Axis.linear(covering: covered) : Axis.logarithmic(covering: covered)
        else { return Plot(id: id, title: title, summary: summary, height: 0, marks: nil) }
        let top = limit == nil ? 4.0 : 20.0
        let height = groups.reduce(top) { $0 + 26 + Double($1.bars.count) * (Self.barHeight + 5) }
        var drawing = Drawing(left: 2, top: top, right: 210, bottom: height)
        var y = top
        for group in groups {
            drawing.label(group.name, x: 2, y: y + 15, class: "label strong")
            y += 22
            for bar in group.bars {
                let end = drawing.x(bar.value, on: axis)
                drawing.bar(
                    x: drawing.left, y: y, width: end - drawing.left, height: Self.barHeight,
                    class: "bar s\(bar.style)")
                // The words stand beside the bar, in whatever room is left.
                drawing.label(bar.text, x: end + 6, y: y + Self.barHeight - 4)
                y += Self.barHeight + 5
            }
            y += 4
        }
        if let limit {
            let x = drawing.x(limit.value, on: axis)
            drawing.line(x, top - 2, x, height - 4, class: "limit")
            drawing.label(limit.text, x: x, y: top - 7, anchor: "middle")
        }
        return Plot(id: id, title: title, summary: summary, height: height, marks: drawing.marks)
    }
}

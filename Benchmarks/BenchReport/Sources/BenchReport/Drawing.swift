import Foundation

/// The inside of a plot: where its rectangle is, in units of a page 360 wide, and what is drawn in it.
struct Drawing {
    /// The width of every plot; a phone shows one unit as about one pixel.
    static let width = 360.0

    let left: Double
    let top: Double
    let right: Double
    let bottom: Double
    private(set) var marks: [Markup] = []

    init(left: Double, top: Double, right: Double, bottom: Double) {
        precondition(left < right && top < bottom, "a plot has an inside")
        self.left = left
        self.top = top
        self.right = right
        self.bottom = bottom
    }

    func x(_ value: Double, on axis: Axis) -> Double { left + axis.fraction(of: value) * (right - left) }
    func y(_ value: Double, on axis: Axis) -> Double { bottom - axis.fraction(of: value) * (bottom - top) }

    mutating func add(_ mark: Markup) { marks.append(mark) }

    mutating func label(
        _ text: String, x: Double, y: Double, anchor: String = "start", class name: String = "label"
    ) {
        add(
            .element(
                "text", ["x": Self.number(x), "y": Self.number(y), "text-anchor": anchor, "class": name], text: text))
    }

    mutating func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, class name: String) {
        add(
            .element(
                "line",
                [
                    "x1": Self.number(x1), "y1": Self.number(y1), "x2": Self.number(x2), "y2": Self.number(y2),
                    "class": name,
                ]))
    }

    mutating func path(_ points: [(x: Double, y: Double)], class name: String) {
        guard let first = points.first else { return }
        var path = "M\(Self.number(first.x)) \(Self.number(first.y))"
        for point in points.dropFirst() { path += "L\(Self.number(point.x)) \(Self.number(point.y))" }
        add(.element("path", ["d": path, "class": name]))
    }

    mutating func dot(x: Double, y: Double, class name: String) {
        add(.element("circle", ["cx": Self.number(x), "cy": Self.number(y), "r": "2.2", "class": name]))
    }

    mutating func bar(x: Double, y: Double, width: Double, height: Double, class name: String) {
        add(
            .element(
                "rect",
                [
                    "x": Self.number(x), "y": Self.number(y), "width": Self.number(max(width, 1)),
                    "height": Self.number(height), "rx": "2", "class": name,
                ]))
    }

    /// Marks with their labels left of the inside, and a thin line across it for each.
    mutating func drawLeft(_ axis: Axis, label: (Double) -> String) {
        for tick in axis.ticks {
            let y = y(tick, on: axis)
            line(left, y, right, y, class: "grid")
            self.label(label(tick), x: left - 5, y: y + 4, anchor: "end")
        }
    }

    /// Marks with their labels below the inside.
    mutating func drawBottom(_ axis: Axis, label: (Double) -> String) {
        line(left, bottom, right, bottom, class: "axis")
        for tick in axis.ticks {
            let x = x(tick, on: axis)
            line(x, bottom, x, bottom + 4, class: "axis")
            let text = label(tick)
            if text.isEmpty { continue }
            let anchor = x > right - 8 ? "end" : x < left + 8 ? "start" : "middle"
            self.label(text, x: x, y: bottom + 16, anchor: anchor)
        }
    }

    /// Two decimals are enough on a screen.
    static func number(_ value: Double) -> String {
        precondition(value.isFinite, "a place in a plot is a number")
        return NumberText.fixed(value, decimals: 2)
    }
}

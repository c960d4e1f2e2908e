import Foundation
import Testing

@testable import BenchReport

@Suite struct PlotTests {
    static let full: [Plot] = [
        PanelPlot(
            id: "a", title: "Over time", summary: "It rises.",
            panels: [
                .init(name: "one", points: [(0, 1, 5), (1, 2, 900), (2, .nan, 3)], emptyText: "nothing arrived"),
                .init(name: "two", points: [], emptyText: "nothing arrived"),
            ]
        ).plot,
        CurvePlot(
            id: "b", title: "Percentiles", summary: "Most is low.",
            curves: [
                .init(name: "one", points: [(0, 0), (50, 0.4), (99.99, 12), (100, 1_000), (200, 1)]),
                .init(name: "two", points: []),
            ]
        ).plot,
        BarPlot(
            id: "c", title: "Bars", summary: "One is longer.",
            groups: [("group", [.init(name: "x", value: 3, text: "3"), .init(name: "y", value: .nan, text: "-")])],
            limit: (5, "limit 5")
        ).plot,
        DotPlot(
            id: "d", title: "Dots", summary: "All are low.",
            strips: [.init(name: "killed", values: [100, 250, .infinity, -1], limit: 1_500)]
        ).plot,
    ]

    static let empty: [Plot] = [
        PanelPlot(id: "a", title: "Over time", summary: "", panels: []).plot,
        CurvePlot(id: "b", title: "Percentiles", summary: "", curves: [.init(name: "x", points: [])]).plot,
        BarPlot(id: "c", title: "Bars", summary: "", groups: [("x", [])], limit: (5, "limit")).plot,
        DotPlot(id: "d", title: "Dots", summary: "", strips: [.init(name: "x", values: [], limit: 5)]).plot,
    ]

    @Test(arguments: full)
    func `a plot says what it shows`(plot: Plot) {
        let html = plot.markup.html
        #expect(html.contains("role=\"img\""))
        #expect(html.contains("aria-labelledby=\"\(plot.id)-title\" aria-describedby=\"\(plot.id)-text\""))
        #expect(html.contains("<title id=\"\(plot.id)-title\">\(plot.title)</title>"))
        #expect(html.contains("<desc id=\"\(plot.id)-text\">\(plot.summary)</desc>"))
    }

    @Test(arguments: full)
    func `everything lies within the plot and is a number`(plot: Plot) throws {
        let html = plot.markup.html
        #expect(!html.lowercased().contains("nan") && !html.contains("inf\""))
        for (attribute, end) in [
            ("x", Drawing.width), ("x1", Drawing.width), ("x2", Drawing.width), ("cx", Drawing.width),
            ("y", plot.height), ("y1", plot.height), ("y2", plot.height), ("cy", plot.height),
        ] {
            for part in html.components(separatedBy: " \(attribute)=\"").dropFirst() {
                let value = try #require(Double(part.prefix { $0 != "\"" }))
                #expect((0...end).contains(value), "\(attribute) is \(value) in \(plot.title)")
            }
        }
    }

    @Test(arguments: empty)
    func `a plot of nothing says so`(plot: Plot) {
        let html = plot.markup.html
        #expect(html.contains("Nothing was measured for this plot."))
        #expect(html.contains(plot.title))
        #expect(!html.contains("<svg"))
    }

    @Test func `an empty panel says why`() {
        #expect(Self.full[0].markup.html.contains(">nothing arrived<"))
    }

    @Test func `bars are as long as their values`() {
        let plot = BarPlot(
            id: "c", title: "Bars", summary: "",
            groups: [("g", [.init(name: "x", value: 5, text: "5"), .init(name: "y", value: 10, text: "10")])]
        ).plot
        let html = plot.markup.html
        #expect(html.contains("width=\"104\""))
        #expect(html.contains("width=\"208\""))
    }

    @Test func `a limit is drawn where it is`() throws {
        let html = Self.full[2].markup.html
        // The axis goes from 0 to 5: the limit is at its end.
        #expect(html.contains("class=\"limit\""))
        #expect(html.contains("x1=\"210\""))
    }
}

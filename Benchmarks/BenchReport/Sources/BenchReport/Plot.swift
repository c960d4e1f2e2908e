/// A plot with what a screen reader says of it.
public struct Plot: Hashable, Sendable {
    /// Unique in its page; made of letters, digits and hyphens.
    let id: String
    let title: String
    /// What the plot shows, in a sentence or two.
    let summary: String
    let height: Double
    /// Nil where there is nothing to show.
    let marks: [Markup]?
    /// Whether each series has a panel of its own.
    var hasPanels = false

    public var markup: Markup {
        guard let marks else {
            return .element(
                "figure", [:],
                [
                    .element("figcaption", text: title),
                    .element("p", ["class": "empty"], text: "Nothing was measured for this plot."),
                ])
        }
        let size = "0 0 \(Drawing.number(Drawing.width)) \(Drawing.number(height))"
        return .element(
            "figure", [:],
            [
                .element("figcaption", text: title),
                .element(
                    "svg",
                    [
                        "viewBox": size, "role": "img", "aria-labelledby": "\(id)-title",
                        "aria-describedby": "\(id)-text",
                        "focusable": "false", "class": hasPanels ? "panels" : "whole",
                    ],
                    [
                        .element("title", ["id": "\(id)-title"], text: title),
                        .element("desc", ["id": "\(id)-text"], text: summary),
                    ] + marks),
                // The same for eyes.
                .element("p", ["class": "summary", "aria-hidden": "true"], text: summary),
            ])
    }
}

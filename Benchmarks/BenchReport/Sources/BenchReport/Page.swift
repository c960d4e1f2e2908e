/// A page that needs nothing beside itself.
struct Page {
    let title: String
    let language = "en"
    let content: [Markup]

    var html: String {
        let head: [Markup] = [
            .element("meta", ["charset": "utf-8"]),
            .element("meta", ["name": "viewport", "content": "width=device-width, initial-scale=1"]),
            .element("meta", ["name": "color-scheme", "content": "light dark"]),
            .element("title", text: title),
            .style(StyleSheet.text),
        ]
        let page = Markup.element(
            "html", ["lang": language],
            [.element("head", [:], head), .element("body", [:], [.element("main", [:], content)])])
        return "<!doctype html>\n" + page.html + "\n"
    }

    /// A section with its heading, which names it for whoever jumps from one to the next.
    static func section(_ id: String, _ title: String, _ text: String, _ content: [Markup]) -> Markup {
        .element(
            "section", ["aria-labelledby": id],
            [.element("h2", ["id": id], text: title), .element("p", text: text)] + content)
    }

    /// What may stand side by side where there is room, two and two.
    static func pairs(_ parts: [Markup]) -> Markup {
        .element("div", ["class": "pairs"], parts)
    }
}

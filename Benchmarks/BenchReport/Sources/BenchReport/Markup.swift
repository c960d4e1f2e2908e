/// A piece of an HTML page. What is text is escaped when it is written out, and nothing else can get in.
public indirect enum Markup: Hashable, Sendable {
    public struct Attribute: Hashable, Sendable {
        let name: String
        let value: String
    }

    case text(String)
    case element(String, [Attribute], [Markup])
    case group([Markup])
    /// The content of a `style` element, which is not escaped.
    case style(String)

    /// An element with attributes in the order given.
    public static func element(
        _ name: String, _ attributes: KeyValuePairs<String, String> = [:], _ children: [Markup] = []
    ) -> Markup {
        .element(name, attributes.map { Attribute(name: $0.key, value: $0.value) }, children)
    }

    /// An element that holds nothing but text.
    public static func element(
        _ name: String, _ attributes: KeyValuePairs<String, String> = [:], text: String
    ) -> Markup {
        .element(name, attributes, [.text(text)])
    }

    /// As it is written out.
    public var html: String {
        var html = ""
        write(to: &html)
        return html
    }

    private static let voidElements: Set<String> = ["meta", "wbr"]

    private func write(to html: inout String) {
        switch self {
        case .text(let text):
            html += Self.escaped(text)
        case .group(let children):
            for child in children { child.write(to: &html) }
        case .style(let sheet):
            precondition(!sheet.contains("</"), "a style sheet cannot end its own element")
            html += "<style>\(sheet)</style>\n"
        case .element(let name, let attributes, let children):
            html += "<\(name)"
            for attribute in attributes { html += " \(attribute.name)=\"\(Self.escaped(attribute.value))\"" }
            html += ">"
            if Self.voidElements.contains(name) { return }
            for child in children { child.write(to: &html) }
            html += "</\(name)>"
            if Self.endsLine.contains(name) { html += "\n" }
        }
    }

    /// For people who read the source.
    private static let endsLine: Set<String> = [
        "h1", "h2", "h3", "p", "tr", "table", "figure", "section", "svg", "dl", "g", "header", "caption", "title",
    ]

    private static func escaped(_ text: String) -> String {
        var escaped = ""
        for character in text.unicodeScalars {
            switch character {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "\"": escaped += "&quot;"
            default: escaped.unicodeScalars.append(character)
            }
        }
        return escaped
    }
}

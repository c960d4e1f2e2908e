/// A table that a screen reader can find its way in: a caption, and headers that say what they are of.
public struct DataTable: Sendable {
    public struct Row: Sendable {
        public let name: String
        public let cells: [String]

        public init(_ name: String, _ cells: [String]) {
            self.name = name
            self.cells = cells
        }
    }

    public let caption: String
    /// The first is of the rows' names.
    public let columns: [String]
    public let rows: [Row]

    public init(caption: String, columns: [String], rows: [Row]) {
        for row in rows {
            precondition(row.cells.count + 1 == columns.count, "row \(row.name) has another number of cells")
        }
        self.caption = caption
        self.columns = columns
        self.rows = rows
    }

    public var markup: Markup { markup(classOfLastCell: [:]) }

    /// - Parameter classes: of the last cell of a row, by what it says.
    func markup(classOfLastCell classes: [String: String]) -> Markup {
        guard !rows.isEmpty else {
            return .element("p", ["class": "empty"], text: "\(caption): nothing was measured.")
        }
        let head = columns.map { Markup.element("th", ["scope": "col"], text: $0) }
        let body = rows.map { row in
            Markup.element(
                "tr", [:],
                [.element("th", ["scope": "row"], Self.breakable(row.name))]
                    + row.cells.enumerated().map { index, cell in
                        guard index == row.cells.count - 1, let name = classes[cell] else {
                            return .element("td", text: cell)
                        }
                        return .element("td", ["class": name], text: cell)
                    })
        }
        return .element(
            "table", [:],
            [
                .element("caption", text: caption), .element("thead", [:], [.element("tr", [:], head)]),
                .element("tbody", [:], body),
            ])
    }

    /// Flat names may go on in the next line after a dot or an underscore.
    private static func breakable(_ name: String) -> [Markup] {
        var parts: [Markup] = []
        var part = ""
        for character in name {
            part.append(character)
            if character == "." || character == "_" {
                parts += [.text(part), .element("wbr")]
                part = ""
            }
        }
        return parts + [.text(part)]
    }
}

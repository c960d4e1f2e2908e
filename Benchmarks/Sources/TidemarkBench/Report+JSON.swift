import BenchReport
import Foundation

extension Report {
    /// The same as a page.
    func page(bars: [Bar]) -> String {
        let figures = Dictionary(figures.map { ($0.name, $0.value) }) { _, last in last }
        return BenchmarkPage(BenchmarkRun(figures: figures, facts: facts, series: series, bars: bars)).html
    }

    /// One object: each figure under its flat name, and beside them `facts` (words), `bars` and `series` (rows of
    /// numbers).
    func json(bars: [Bar]) -> String {
        var members = figures.sorted { $0.name < $1.name }.map { "\(Self.quoted($0.name)): \($0.value)" }
        let facts = facts.map { "    \(Self.quoted($0.name)): \(Self.quoted($0.value))" }
        members.append(Self.object("facts", facts))
        members.append(
            Self.object(
                "bars",
                bars.map { bar in
                    let limit = "\"relation\": \(Self.quoted(bar.relation.rawValue)), \"limit\": \(bar.limit)"
                    return "    \(Self.quoted(bar.figure)): {\(limit), \"met\": \(bar.isMet)}"
                }))
        let series = series.sorted { $0.key < $1.key }.map { name, rows in
            let rows = rows.map { "[" + $0.map { "\($0)" }.joined(separator: ", ") + "]" }
            return "    \(Self.quoted(name)): [\(rows.joined(separator: ", "))]"
        }
        members.append(Self.object("series", series))
        return "{\n  " + members.joined(separator: ",\n  ") + "\n}\n"
    }

    private static func object(_ name: String, _ members: [String]) -> String {
        "\(quoted(name)): {\n" + members.joined(separator: ",\n") + "\n  }"
    }

    private static func quoted(_ text: String) -> String {
        // A string alone is always valid JSON.
        (try? JSONEncoder().encode(text)).map { String(decoding: $0, as: UTF8.self) } ?? "\"\""
    }
}

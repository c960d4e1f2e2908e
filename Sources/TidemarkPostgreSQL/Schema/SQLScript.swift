/// The statements of a file, one by one, because a server takes no parameters, and libpq no pipeline, for more than one.
enum SQLScript {
    /// A statement ends with a semicolon at the end of a line, outside of `$$`. Lines of comment between them are dropped.
    static func statements(_ text: String) -> [String] {
        var statements: [String] = []
        var statement: [Substring] = []
        var isQuoted = false
        for line in text.split(separator: "\n") {
            if !isQuoted, line.drop(while: { $0 == " " }).hasPrefix("--") { continue }
            statement.append(line)
            if line.ranges(of: "$$").count % 2 == 1 { isQuoted.toggle() }
            if !isQuoted, line.hasSuffix(";") {
                statements.append(statement.joined(separator: "\n"))
                statement = []
            }
        }
        return statements
    }
}

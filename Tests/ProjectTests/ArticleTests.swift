import Foundation
import Testing

/// What the articles of the documentation show is compiled, and what they name is there.
@Suite struct ArticleTests {
    private static func articles() throws -> [String] {
        let sources = Project.root.appending(path: "Sources")
        let found = try FileManager.default.subpathsOfDirectory(atPath: sources.path)
            .filter { $0.contains(".docc/") && $0.hasSuffix(".md") }.map { "Sources/\($0)" }
        return found.sorted()
    }

    @Test func `every library has a landing page`() throws {
        let manifest = try Project.read("Package.swift")
        let libraries = manifest.matches(of: /\.library\(name: "([A-Za-z]+)"/).map { String($0.1) }
        #expect(libraries.count >= 9)
        let articles = try Self.articles()
        let published = try Project.read(".spi.yml")
        let script = try Project.read("scripts/docs")
        for library in libraries {
            #expect(articles.contains("Sources/\(library)/\(library).docc/\(library).md"), "\(library)")
            #expect(published.contains("- \(library)\n"), "\(library)")
            #expect(script.split(whereSeparator: \.isWhitespace).contains { $0 == library }, "\(library)")
        }
    }

    /// Each snippet is a run of lines of an example, whatever its indentation there.
    @Test func `every snippet is a part of an example`() throws {
        let examples = try Project.swiftFiles().filter { $0.path.contains("/Examples/") }
            .map { Self.lines(try String(contentsOf: $0, encoding: .utf8)) }
        var count = 0
        for article in try Self.articles() {
            for snippet in Self.snippets(try Project.read(article)) {
                count += 1
                #expect(examples.contains { Self.has($0, snippet) }, "\(article): \(snippet.first ?? "")")
            }
        }
        #expect(count >= 7)
    }

    @Test func `a snippet that is not in an example is found`() {
        let example = Self.lines("func a() {\n    b()\n\n    c()\n}\n")
        #expect(Self.has(example, ["b()", "", "c()"]))
        #expect(!Self.has(example, ["b()", "c()"]))
        #expect(!Self.has(example, ["d()"]))
        #expect(Self.snippets("text\n```swift\na()\n  b()\n```\n```\nc\n```\n") == [["a()", "b()"]])
    }

    /// No line is logged at `info`: that level is the program's own.
    @Test func `no library logs at info`() throws {
        for file in try Project.swiftFiles() where file.path.contains("/Sources/") {
            if file.path.contains("/Sources/TidemarkCLI/") { continue }
            let text = try String(contentsOf: file, encoding: .utf8)
            #expect(!text.contains("logger.info(") && !text.contains("level: .info"), "\(file.path)")
        }
    }

    /// A metric that the article *Metrics* does not name is in no contract.
    @Test func `every metric is in the article`() throws {
        let article = try Project.read("Sources/Tidemark/Tidemark.docc/Metrics.md")
        let table = Set(article.matches(of: /\| `(tidemark_[a-z_]+)` \|/).map { String($0.1) })
        var made: Set<String> = []
        for file in try Project.swiftFiles() where file.path.contains("/Sources/") {
            let text = try String(contentsOf: file, encoding: .utf8)
            made.formUnion(text.matches(of: /label: "(tidemark_[a-z_]+)"/).map { String($0.1) })
        }
        #expect(made == table)
        // What other articles and the README name is one of them, too.
        for document in try Self.articles() + ["README.md"] {
            for name in try Project.read(document).matches(of: /`(tidemark_[a-z_]+)`/).map({ String($0.1) }) {
                #expect(table.contains(name), "\(document) names \(name)")
            }
        }
    }

    private static func lines(_ text: String) -> [String] {
        text.split(separator: "\n", omittingEmptySubsequences: false).map { $0.trimmingCharacters(in: .whitespaces) }
    }

    private static func has(_ lines: [String], _ snippet: [String]) -> Bool {
        guard let first = snippet.first else { return false }
        return lines.indices.contains { start in
            lines[start] == first && Array(lines[start...].prefix(snippet.count)) == snippet
        }
    }

    private static func snippets(_ text: String) -> [[String]] {
        text.components(separatedBy: "```swift\n").dropFirst().map { part in
            lines(String(part.prefix(upTo: part.range(of: "\n```")?.lowerBound ?? part.endIndex)))
        }
    }
}

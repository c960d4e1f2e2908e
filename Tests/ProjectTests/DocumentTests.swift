import Foundation
import Testing

/// What the documents name is there, and what the code cites is in them.
@Suite struct DocumentTests {
    private static let documents = [
        "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "BENCHMARKS.md", "docs/RULES.md",
        "docs/ARCHITECTURE.md",
        "Sources/TidemarkSQLite/DESIGN.md", "Sources/TidemarkReplication/DESIGN.md",
        "Sources/TidemarkPostgreSQL/DESIGN.md", "Tests/Model/README.md",
        "Sources/Tidemark/Tidemark.docc/GettingStarted.md", "Sources/Tidemark/Tidemark.docc/HowReadingWorks.md",
        "Sources/Tidemark/Tidemark.docc/InProduction.md", "Sources/Tidemark/Tidemark.docc/WhenReadersWait.md",
        "Sources/Tidemark/Tidemark.docc/WritingAStore.md", "Sources/Tidemark/Tidemark.docc/Metrics.md",
        "Sources/Tidemark/Tidemark.docc/ProcessorsAndExactlyOnce.md", "Sources/Tidemark/Tidemark.docc/Configuration.md",
        "Examples/Orders/README.md",
    ]

    @Test(arguments: documents)
    func `every file that a document names is there`(document: String) throws {
        let text = try Project.read(document)
        // A path below one of these folders, or a document at the top.
        let paths = text.matches(
            of: /`((?:Sources|Tests|docs|scripts|Examples|Benchmarks|\.ci)\/[A-Za-z0-9_.+\/-]+|[A-Z]+\.md|schema\.sql)`/
        )
        for path in Set(paths.map { String($0.1) }) {
            #expect(
                FileManager.default.fileExists(atPath: Project.root.appending(path: path).path),
                "\(document) names \(path)")
        }
    }

    @Test func `every rule that the code or a document cites is one of the rules`() throws {
        let rules = try Project.read("docs/RULES.md")
        let numbers = Set(rules.matches(of: #/### ([0-9]+)\. /#).compactMap { Int($0.1) })
        #expect(numbers == Set(1...9))
        let documents = Self.documents.map { Project.root.appending(path: $0) }
        for file in try Project.swiftFiles() + documents {
            let text = try String(contentsOf: file, encoding: .utf8)
            // "rule 5", and "Rules 1, 2 and 7" or "rules 1 to 9" too.
            for cited in text.matches(of: /[Rr]ules? ([0-9]+(?:(?:, | and | to )[0-9]+)*)/) {
                for number in cited.1.matches(of: /[0-9]+/).compactMap({ Int($0.0) }) {
                    #expect(numbers.contains(number), "\(file.path) cites rule \(number)")
                }
            }
        }
    }
}

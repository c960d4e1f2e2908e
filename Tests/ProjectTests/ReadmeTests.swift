import Foundation
import Testing

/// What the README says is what the package does.
@Suite struct ReadmeTests {
    @Test func `the quick start is the example that is compiled`() throws {
        let readme = try between("<!-- quick start: begin -->\n```swift\n", "\n```\n", in: Project.read("README.md"))
        let example = try Project.read("Examples/QuickStart/QuickStart.swift")
        let body = try between("        // quick start: begin\n", "        // quick start: end", in: example)
        let lines = body.split(separator: "\n", omittingEmptySubsequences: false)
            .map { $0.hasPrefix("        ") ? String($0.dropFirst(8)) : String($0) }
        let code = lines.joined(separator: "\n").trimmingCharacters(in: .newlines)
        #expect(readme.hasSuffix(code))
        let imports = readme.dropLast(code.count).split(separator: "\n")
        #expect(imports.allSatisfy { example.contains($0) } && imports.count == 3)
    }

    @Test func `the quick start for PostgreSQL is the example that is compiled`() throws {
        let readme = try between(
            "<!-- quick start for PostgreSQL: begin -->\n```swift\n", "\n```\n", in: Project.read("README.md"))
        let example = try Project.read("Examples/PostgreSQLQuickStart/PostgreSQLQuickStart.swift")
        let body = try between("        // quick start: begin\n", "        // quick start: end", in: example)
        let lines = body.split(separator: "\n", omittingEmptySubsequences: false)
            .map { $0.hasPrefix("        ") ? String($0.dropFirst(8)) : String($0) }
        let code = lines.joined(separator: "\n").trimmingCharacters(in: .newlines)
        #expect(readme.hasSuffix(code))
        let imports = readme.dropLast(code.count).split(separator: "\n")
        #expect(imports.allSatisfy { example.contains($0) } && imports.count == 2)
    }

    @Test func `the service is the example that is compiled`() throws {
        let readme = try between("<!-- service: begin -->\n```swift\n", "\n```\n", in: Project.read("README.md"))
        let example = try between(
            "// service: begin\n", "// service: end", in: Project.read("Examples/Services/Services.swift"))
        #expect(readme == example.trimmingCharacters(in: .newlines))
    }

    @Test(arguments: ["scripts/test", "scripts/bench"])
    func `the two commands are there`(script: String) throws {
        #expect(try Project.read("README.md").contains(script))
        #expect(FileManager.default.isExecutableFile(atPath: Project.root.appending(path: script).path))
    }

    /// A script that nothing runs stops working, and nobody notices.
    @Test func `every script that is named runs before a change goes in`() throws {
        let named = Set(try Project.read("README.md").matches(of: /scripts\/[a-z]+/).map { String($0.0) })
        #expect(named.count >= 7)
        let called = Set(
            try [".ci/run", "scripts/test"].flatMap { path in
                try Project.read(path).split(separator: "\n").filter { !$0.hasPrefix("#") }
                    .flatMap { $0.split(separator: " ").map(String.init) }
            })
        #expect(named.subtracting(called).isEmpty)
        for script in named {
            #expect(
                FileManager.default.isExecutableFile(atPath: Project.root.appending(path: script).path), "\(script)")
        }
    }

    @Test func `every script is named in the readme or used by another`() throws {
        let folder = Project.root.appending(path: "scripts")
        let scripts = try FileManager.default.contentsOfDirectory(atPath: folder.path).map { "scripts/\($0)" }
        let readme = try Project.read("README.md")
        for script in scripts where !readme.contains(script) {
            #expect(
                try scripts.contains { other in
                    try other != script
                        && Project.read(other).split(whereSeparator: \.isWhitespace).contains { $0 == script }
                }, "\(script)")
        }
    }

    @Test func `every folder that is named is there`() throws {
        let readme = try Project.read("README.md")
        for match in readme.matches(of: /\| `([A-Za-z.\/]+)` \|/) {
            #expect(FileManager.default.fileExists(atPath: Project.root.appending(path: String(match.1)).path))
        }
    }

    private func between(_ start: String, _ end: String, in text: String) throws -> String {
        let tail = try #require(text.range(of: start)).upperBound
        let head = try #require(text.range(of: end, range: tail..<text.endIndex)).lowerBound
        return String(text[tail..<head])
    }
}

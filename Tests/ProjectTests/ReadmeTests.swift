import Foundation
import Testing

/// What the README says is what the package does.
@Suite struct ReadmeTests {
    @Test func theQuickStartIsTheExampleThatIsCompiled() throws {
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

    @Test(arguments: ["scripts/test", "scripts/bench"])
    func theTwoCommandsAreThere(script: String) throws {
        #expect(try Project.read("README.md").contains(script))
        #expect(FileManager.default.isExecutableFile(atPath: Project.root.appending(path: script).path))
    }

    @Test func everyFolderThatIsNamedIsThere() throws {
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

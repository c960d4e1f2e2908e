import Foundation
import Testing

/// The walks in `docs/ARCHITECTURE.md` lead through files that are there, and through few of them.
@Suite struct ArchitectureTests {
    struct Walk: Sendable, CustomTestStringConvertible {
        let heading: String
        /// How many files it should pass, at most.
        let bar: Int

        var testDescription: String { heading }
    }

    private static let walks = [
        Walk(heading: "An event, from one process to a reader in another", bar: 34),
        Walk(heading: "A POSITION line, from the socket to the minimum", bar: 12),
        Walk(heading: "A dead writer, from its last heartbeat to the minimum that passes it", bar: 16),
        Walk(heading: "A scope that throws, to the end of its ID", bar: 13),
    ]

    @Test(arguments: walks)
    func `a walk passes files that are there, each of them once`(walk: Walk) throws {
        let (numbers, files) = try Self.steps(of: walk)
        #expect(numbers == Array(1...max(files.count, 1)))
        #expect(Set(files).count == files.count)
        for file in files {
            #expect(FileManager.default.fileExists(atPath: Project.root.appending(path: file).path), "\(file)")
        }
    }

    @Test(arguments: walks)
    func `a walk is short`(walk: Walk) throws {
        let count = try Self.steps(of: walk).files.count
        #expect(count <= walk.bar)
    }

    @Test(arguments: walks)
    func `the table says how long a walk is, and how long it may be`(walk: Walk) throws {
        let count = try Self.steps(of: walk).files.count
        let table = try Self.section("## The four walks")
        #expect(table.contains("| \(walk.heading) | \(count) | \(walk.bar) |"))
    }

    @Test func `what is not counted is there, has a reason, and is in no walk`() throws {
        let counted = Set(try Self.walks.flatMap { try Self.steps(of: $0).files })
        let lines = try Self.section("### Not counted").split(separator: "\n").filter { $0.hasPrefix("- ") }
        #expect(!lines.isEmpty)
        for line in lines {
            let reason = /- `(Sources\/[^`]+)`: (?:value|SQL helper|part of the machine)(?: \(.*\))?/
            let match = try #require(try reason.wholeMatch(in: line), "\(line)")
            let file = String(match.1)
            #expect(FileManager.default.fileExists(atPath: Project.root.appending(path: file).path), "\(file)")
            #expect(!counted.contains(file), "\(file)")
        }
    }

    /// The numbers of the steps, and the files that they name.
    private static func steps(of walk: Walk) throws -> (numbers: [Int], files: [String]) {
        let steps = try section("### \(walk.heading)").split(separator: "\n").filter { $0.first?.isNumber == true }
        var (numbers, files): ([Int], [String]) = ([], [])
        for step in steps {
            let match = try #require(try /([0-9]+)\. `(Sources\/[^`]+)`: .*/.wholeMatch(in: step), "\(step)")
            numbers.append(try #require(Int(match.1)))
            files.append(String(match.2))
        }
        return (numbers, files)
    }

    /// What is between a heading and the next one.
    private static func section(_ heading: String) throws -> String {
        let lines = try Project.read("docs/ARCHITECTURE.md").split(separator: "\n", omittingEmptySubsequences: false)
        let start = try #require(lines.firstIndex { $0 == heading }, "there is no heading \(heading)")
        return lines[(start + 1)...].prefix { !$0.hasPrefix("#") }.joined(separator: "\n")
    }
}

import Foundation
import Testing

/// What the project's style asks of every file.
@Suite struct HygieneTests {
    @Test func `no source file is over five hundred lines`() throws {
        for file in try Project.swiftFiles() {
            let lines = try String(contentsOf: file, encoding: .utf8).split(
                separator: "\n", omittingEmptySubsequences: false
            ).count
            #expect(lines <= 501, "\(file.path) has \(lines) lines")
        }
    }

    /// Each of them can be right, with a sentence beside it that shows why.
    @Test(arguments: ["try!", "@unchecked Sendable", "nonisolated(unsafe)", "Task.detached"])
    func `what is unsafe has a sentence beside it`(construct: String) throws {
        for file in try Project.swiftFiles() where !file.path.hasSuffix("HygieneTests.swift") {
            let lines = try String(contentsOf: file, encoding: .utf8).split(
                separator: "\n", omittingEmptySubsequences: false)
            for (number, line) in lines.enumerated() where line.contains(construct) {
                let nearby = lines[max(0, number - 4)...number]
                #expect(nearby.contains { $0.contains("//") }, "\(file.path):\(number + 1)")
            }
        }
    }

    @Test(arguments: ["TODO", "FIXME", "XXX"])
    func `nothing is left for later`(mark: String) throws {
        for file in try Project.swiftFiles() where !file.path.hasSuffix("HygieneTests.swift") {
            #expect(try !String(contentsOf: file, encoding: .utf8).contains(mark), "\(file.path)")
        }
    }
}

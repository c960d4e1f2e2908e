import Foundation
import TestSupport
import Testing

@testable import TidemarkCLI

@Suite struct DemoTests {
    @Test func `it kills a writer, misses nothing, and fits on a screen`() async throws {
        let outcome = try await Program.run("demo", "--seconds", "2")
        #expect(outcome.status == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
        #expect(outcome.lines.count <= 24 && outcome.lines.allSatisfy { $0.count <= 100 }, "\(outcome.text)")
        #expect(outcome.text.contains("p3 is killed") && outcome.text.contains("none is missing"))
        let folder = try #require(outcome.text.firstMatch(of: #/\n(\S+tidemark-demo-\S+), which/#)).1
        #expect(!FileManager.default.fileExists(atPath: String(folder)), "it is removed at the end")
    }

    @Test func `a time that is none is refused`() async throws {
        #expect(try await Program.run("demo", "--seconds", "1").status == 64)
    }
}

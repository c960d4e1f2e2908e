import Foundation
import TestSupport
import Testing
import Tidemark

@testable import CrashTest

/// What the crash test would say of a processor that did something wrong.
@Suite struct HandledEventsTests {
    /// The calls of one key, in the order of their times: "b1" begins event 1 and "e1" ends it, by process A; with a process and
    /// its claim behind a slash, "b1/B2", by that one.
    private func check(_ calls: String, all: ClosedRange<Int64> = 1...3) throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/notes"
        let file = try AppendedFile(path: path)
        for (time, call) in calls.split(separator: " ").enumerated() {
            let parts = call.split(separator: "/")
            let process = parts.count > 1 ? parts[1] : "A1"
            let what = parts[0].first == "b" ? "begin" : "end"
            try file.append([
                "\(what) \(time * 10_000_000_000) \(parts[0].dropFirst()) k \(process.dropFirst()) \(process.prefix(1))"
            ])
        }
        let keys = all.map { (StreamID($0), "k") }
        try HandledEvents(files: [path], continued: [:]).check(events: Dictionary(uniqueKeysWithValues: keys))
    }

    @Test func `what is handled in order, also again by another process, is right`() throws {
        try check("b1 e1 b2 e2 b3 e3")
        // A is killed while it handles the second; what it had not checkpointed comes again.
        try check("b1 e1 b2 b1/B2 e1/B2 b2/B2 e2/B2 b3/B2 e3/B2")
    }

    @Test(arguments: [
        ("b1 e1 b2 e2", "events were not handled"),
        ("b1 b2 e1 e2 b3 e3", "overlap"),
        ("b1 e1 b3 e3 b2/B2 e2/B2", "was begun before an earlier event was handled"),
        ("b1 e1 b2 b3/B2 e3/B2 b2/B2 e2/B2", "was begun after 3, under one claim"),
        ("b1 e1 b2 e2 b3 b3/B2 e3 e3/B2", "overlap"),
    ])
    func `what is left out, out of order or handled by two at once is found`(calls: String, problem: String) {
        let failure = #expect(throws: Failure.self) { try check(calls) }
        #expect(failure.map { "\($0)".contains(problem) } ?? false, "\(String(describing: failure))")
    }
}

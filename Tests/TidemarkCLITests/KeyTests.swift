import Foundation
import TestSupport
import Testing
import Tidemark
import TidemarkSQLite

@testable import TidemarkCLI

@Suite struct KeyTests {
    private func ingest(_ lines: [String], into folder: TemporaryFolder) async throws {
        let outcome = try await Program.run(
            "ingest", "--database", folder.database, "--instance", "p1", input: bytes(lines))
        #expect(outcome.status == 0, "\(outcome.errors)")
    }

    private func run(_ arguments: String..., in folder: TemporaryFolder) async throws -> Outcome {
        try await Program.run(arguments + ["--database", folder.database])
    }

    @Test func `the events of a key are written as tail writes them, once there is an index`() async throws {
        let folder = try TemporaryFolder()
        let lines = generatedLines(0..<23)
        try await ingest(lines, into: folder)
        let missing = try await run("events", "--key", "room-3", in: folder)
        #expect(missing.status == 69 && missing.errorLines.count == 1)
        #expect(missing.errors.contains("has no index of keys: build one (tidemark index)"))
        let index = try await run("index", "--batch", "4", in: folder)
        #expect(
            index.status == 0 && index.text == "the index of keys of stream events is complete\n", "\(index.errors)")
        let again = try await run("index", in: folder)
        #expect(again.status == 0 && again.text == "the index of keys of stream events was complete already\n")
        let found = try await run("events", "--key", "room-3", in: folder)
        #expect(try found.lines.map { try parsed($0).event } == stride(from: 3, to: 23, by: 5).map { lines[$0] })
        let tail = try await run("tail", in: folder)
        #expect(found.lines == stride(from: 3, to: 23, by: 5).map { tail.lines[$0] })
        let after = try await run("events", "--key", "room-3", "--after", "9", in: folder)
        #expect(after.lines == Array(found.lines.dropFirst(2)))
        let none = try await run("events", "--key", "room-9", in: folder)
        #expect(none.status == 0 && none.text.isEmpty && none.errors.isEmpty)
    }

    @Test func `an index that was begun is said to be incomplete, and taken up again`() async throws {
        let folder = try TemporaryFolder()
        try await ingest(generatedLines(0..<5), into: folder)
        let store = try await SQLiteEventStore.open(path: folder.database)
        #expect(try await store.buildKeyIndex(of: "events", limit: 2) == .building(from: 4))
        await store.close()
        let found = try await run("events", "--key", "room-3", in: folder)
        #expect(found.status == 75 && found.errors.contains("is not complete yet"))
        #expect(try await run("index", in: folder).status == 0)
        #expect(try await run("events", "--key", "room-3", in: folder).lines.count == 1)
    }

    //  index                                  this test
    //  begins, one event after another
    //                                         sees that, and sends a signal
    //  says so, and ends with 75
    @Test func `an index that is interrupted is not said to be complete`() async throws {
        let folder = try TemporaryFolder()
        try await ingest(generatedLines(0..<3_000), into: folder)
        let store = try await SQLiteEventStore.open(path: folder.database)
        let index = try Program(["index", "--batch", "1", "--database", folder.database])
        try await eventually("the index is begun") { try await store.keyIndex(of: "events") != .missing }
        index.send(SIGINT)
        let outcome = try await index.outcome()
        #expect(outcome.status == 75 && outcome.output.isEmpty, "\(outcome.errors)")
        #expect(outcome.errorLines.count == 1 && outcome.errors.contains("is not complete yet"))
        #expect(try await store.keyIndex(of: "events") != .complete)
        await store.close()
    }

    @Test func `an index is built to its end although nobody reads that it was`() async throws {
        let folder = try TemporaryFolder()
        try await ingest(generatedLines(0..<50), into: folder)
        let outcome = try await Program(["index", "--batch", "1", "--database", folder.database], reader: .gone)
            .outcome()
        #expect(outcome.status == 0 && outcome.errors.isEmpty)
        #expect(try await run("events", "--key", "room-3", in: folder).lines.count == 10)
    }

    @Test func `a stream that is not there, and a call without a key, are said`() async throws {
        let folder = try TemporaryFolder()
        try await ingest(generatedLines(0..<1), into: folder)
        for command in [["events", "--key", "k"], ["index"]] {
            let outcome = try await Program.run(command + ["--stream", "orders", "--database", folder.database])
            #expect(outcome.status == 69)
            #expect(outcome.errors.contains("has no stream named orders; there is events"), "\(outcome.errors)")
        }
        #expect(try await run("events", in: folder).status == 64)
        #expect(try await run("index", "--batch", "0", in: folder).status == 64)
        let nowhere = try await Program.run("events", "--key", "k", "--database", folder.database + "x")
        #expect(nowhere.status == 69)
    }
}

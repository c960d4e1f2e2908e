import Foundation
import TestSupport
import Testing
import Tidemark
import TidemarkSQLite

@testable import TidemarkCLI

@Suite struct IngestAndTailTests {
    @Test func `a tail that runs from the start sees what three writers persist at once, once and in order`()
        async throws
    {
        let folder = try TemporaryFolder()
        let tail = try Program(["tail", "--database", folder.database, "--follow"])
        let lines = generatedLines(0..<900)
        try await withThrowingTaskGroup(of: Outcome.self) { group in
            for part in 0..<3 {
                let input = bytes(Array(lines[(part * 300)..<(part * 300 + 300)]))
                group.addTask {
                    try await Program.run(
                        "ingest", "--database", folder.database, "--instance", "p\(part)", "--batch", "7", input: input)
                }
            }
            for try await outcome in group { #expect(outcome.status == 0 && outcome.errors.isEmpty) }
        }
        try await tail.waitForLines(900)
        tail.send(SIGTERM)
        let outcome = try await tail.outcome()
        #expect(outcome.status == 0 && outcome.errorLines.allSatisfy { $0.hasPrefix("tidemark: waiting: ") })
        let read = try outcome.lines.map(parsed)
        #expect(read.map(\.streamID) == Array(1...900))
        #expect(Set(read.map(\.event)) == Set(lines))
        // Each writer's events are in the order in which they came.
        for part in 0..<3 {
            let own = Array(lines[(part * 300)..<(part * 300 + 300)])
            let members = Set(own)
            #expect(read.map(\.event).filter(members.contains) == own)
        }
    }

    @Test func `the same events again add nothing, and keep the IDs that they have`() async throws {
        let folder = try TemporaryFolder()
        let call = ["ingest", "--database", folder.database, "--instance", "p1", "--print"]
        let input = bytes(generatedLines(0..<50))
        for _ in 0..<2 {
            let program = try Program(call)
            program.write(input)
            program.endInput()
            let outcome = try await program.outcome()
            #expect(outcome.status == 0)
            #expect(outcome.lines == (0..<50).map { "\($0 + 1)\tevent-\($0)" })
        }
        let tail = try await Program.run("tail", "--database", folder.database)
        #expect(tail.lines.count == 50 && tail.status == 0)
    }

    @Test func `what was read is durable while the input stays open, and the last line needs no newline`() async throws
    {
        let folder = try TemporaryFolder()
        let ingest = try Program(["ingest", "--database", folder.database, "--instance", "p1", "--print"])
        let lines = generatedLines(0..<3)
        ingest.write(lines[0])
        try await ingest.waitForLines(1)
        ingest.write(Array(lines[1].utf8.prefix(20)))
        ingest.write(Array(lines[1].utf8.dropFirst(20)) + Array("\n".utf8) + Array(lines[2].utf8))
        try await ingest.waitForLines(2)
        ingest.endInput()
        let outcome = try await ingest.outcome()
        #expect(outcome.status == 0)
        #expect(outcome.lines == ["1\tevent-0", "2\tevent-1", "3\tevent-2"])
    }

    @Test func `a line with a carriage return is kept byte for byte`() async throws {
        let folder = try TemporaryFolder()
        let line = "{\"id\":\"e\",\"type\":\"t\"}\r"
        _ = try await Program.run(
            "ingest", "--database", folder.database, "--instance", "p1", input: Array((line + "\n").utf8))
        let tail = try await Program.run("tail", "--database", folder.database)
        #expect(tail.output.starts(with: "{\"stream_id\":1,".utf8))
        #expect(
            String(decoding: tail.output, as: UTF8.self).utf8.suffix(line.utf8.count + 2).elementsEqual(
                (line + "}\n").utf8))
    }

    @Test func `without follow a tail begins after an ID and ends at the event that was the highest`() async throws {
        let folder = try TemporaryFolder()
        let lines = generatedLines(0..<20)
        _ = try await Program.run("ingest", "--database", folder.database, "--instance", "p1", input: bytes(lines))
        let tail = try await Program.run("tail", "--database", folder.database, "--after", "15")
        #expect(try tail.lines.map(parsed).map(\.streamID) == Array(16...20))
        let atTheEnd = try await Program.run("tail", "--database", folder.database, "--after", "20")
        #expect(atTheEnd.status == 0 && atTheEnd.output.isEmpty && atTheEnd.errors.isEmpty)
        let mistyped = try await Program.run("tail", "--database", folder.database, "--stream", "evnets")
        #expect(mistyped.status == 69 && mistyped.output.isEmpty)
        #expect(mistyped.errorLines.count == 1 && mistyped.errors.contains("no stream named evnets; there is events"))
    }

    @Test func `a tail without follow names the writer that holds it back, and a closed one no more`() async throws {
        let folder = try TemporaryFolder()
        _ = try await Program.run(
            "ingest", "--database", folder.database, "--instance", "p1", input: bytes(generatedLines(0..<2)))
        // A writer that is given an ID and says nothing from then on.
        let store = try await SQLiteEventStore.open(path: folder.database)
        let writer = try await store.join("events", as: "p2").writer
        #expect(try await store.allocate(1, in: "events", for: writer) == [3])
        _ = try await Program.run(
            "ingest", "--database", folder.database, "--instance", "p1", input: bytes(generatedLines(2..<4)))
        let tail = try await Program.run("tail", "--database", folder.database, "--timeout", "0.5")
        #expect(tail.status == 75)
        #expect(try tail.lines.map { try parsed($0).streamID } == [1, 2])
        #expect(tail.errorLines.count == 1 && tail.errors.contains("held back by p2"))
        // What can be read is read, and only the rest is not waited for.
        let hasty = try await Program.run("tail", "--database", folder.database, "--timeout", "0")
        #expect(hasty.status == 75)
        #expect(try hasty.lines.map { try parsed($0).streamID } == [1, 2])
        #expect(
            hasty.errorLines.count == 1 && hasty.errors.contains("could not be read without waiting: held back by p2"))
        let close = try await Program.run("close", "--database", folder.database, "--instance", "p2")
        #expect(close.lines == ["closed p2 in stream events: its position is 5"])
        let again = try await Program.run("tail", "--database", folder.database, "--timeout", "0")
        #expect(again.status == 0 && again.errors.isEmpty)
        #expect(try again.lines.map { try parsed($0).streamID } == [1, 2, 4, 5])
        let retire = try await Program.run("retire", "--database", folder.database, "--instance", "p2")
        #expect(retire.lines == ["retired p2 in stream events: its position was 5"])
    }
}

import GRDB
import TestSupport
import Testing
import Tidemark
import TidemarkSQLite

@testable import TidemarkCLI

@Suite struct AuditTests {
    /// Twenty events, all of them read by the consumer "mails".
    private func filled() async throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        _ = try await Program.run(
            "ingest", "--database", folder.database, "--instance", "p1", input: bytes(generatedLines(0..<20)))
        let tail = try await Program.run("tail", "--database", folder.database, "--consumer", "mails")
        #expect(tail.lines.count == 20)
        return folder
    }

    private func audit(_ folder: TemporaryFolder, _ arguments: String...) async throws -> Outcome {
        let program = try Program(["audit", "--database", folder.database] + arguments)
        program.endInput()
        return try await program.outcome()
    }

    private func execute(_ folder: TemporaryFolder, _ sql: String) async throws {
        let store = try await SQLiteEventStore.open(path: folder.database)
        try await store.write { try $0.execute(sql: sql) }
        await store.close()
    }

    @Test func `a complete past ends with 0`() async throws {
        let folder = try await filled()
        let outcome = try await audit(folder, "--consumer", "mails")
        #expect(outcome.status == 0 && outcome.errors.isEmpty)
        #expect(
            outcome.lines.count == 1 && outcome.lines[0].hasPrefix("complete: consumer mails of stream events is at 20")
        )
        #expect(outcome.lines[0].hasSuffix("20 events are there up to it, 20 delivered"))
    }

    @Test func `a row that came behind the library's back is named, and ends it with 65`() async throws {
        let folder = try await filled()
        try await execute(folder, "DELETE FROM tidemark_events WHERE stream_id = 7")
        try await execute(
            folder,
            """
            UPDATE tidemark_streams SET commit_number = commit_number + 1;
            INSERT INTO tidemark_events (stream, stream_id, kind, event_id, type, writer, persisted_at, commit_number)
            SELECT stream, 7, 0, 'late', 'noted', 1, 0, commit_number FROM tidemark_streams
            """)
        let text = try await audit(folder, "--consumer", "mails")
        #expect(text.status == 65)
        #expect(text.lines.first?.hasPrefix("event 7 was skipped: ") == true)
        #expect(text.lines.last?.hasPrefix("NOT complete: ") == true)
        #expect(
            text.errorLines == [
                "tidemark: the past of consumer mails of stream events is not what it should be: 2 findings"
            ])
        let json = try await audit(folder, "--consumer", "mails", "--json")
        #expect(json.status == 65 && json.lines.count == 1)
        let line = try #require(json.lines.first)
        #expect(try JSONText(validating: line).text == line)
        #expect(line.contains("\"complete\":false,\"position\":20,"))
        #expect(line.contains("{\"kind\":\"skipped\",\"stream_id\":7,"))
    }

    @Test func `an unknown consumer, stream or database ends it with 69`() async throws {
        let folder = try await filled()
        let consumer = try await audit(folder, "--consumer", "post")
        #expect(consumer.status == 69)
        #expect(consumer.errorLines == ["tidemark: stream events has no consumer named post; there is mails"])
        #expect(try await audit(folder, "--consumer", "mails", "--stream", "other").status == 69)
        #expect(try await audit(TemporaryFolder(), "--consumer", "mails").status == 69)
        #expect(try await audit(folder).status == 64)
    }

    @Test func `an event in a table of the user's own has a line without its contents`() async throws {
        let folder = try await filled()
        let store = try await SQLiteEventStore.open(path: folder.database)
        let log = try await EventLog.open(store, instance: "p2")
        try await log.withNextID { id in try await store.write { try log.commit([id], in: $0) } }
        _ = try await log.persist(Event(id: "after", type: "noted", payload: Array("{}".utf8)))
        await log.shutDown()
        await store.close()
        let tail = try await Program.run("tail", "--database", folder.database, "--consumer", "mails")
        #expect(tail.lines.count == 2)
        #expect(tail.lines.first?.hasPrefix("{\"stream_id\":21,\"instance\":\"p2\",") == true)
        #expect(tail.lines.first?.hasSuffix(",\"event\":null}") == true)
        #expect(try await audit(folder, "--consumer", "mails").status == 0)
    }
}

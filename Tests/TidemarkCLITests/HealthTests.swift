import TestSupport
import Testing

@Suite struct HealthTests {
    private func health(_ arguments: String..., in folder: TemporaryFolder) async throws -> Outcome {
        try await Program.run(["health", "--database", folder.database] + arguments)
    }

    @Test func `a stream that is well is one sentence and 0, a consumer that lags is 75`() async throws {
        let folder = try TemporaryFolder()
        let ingest = ["ingest", "--database", folder.database, "--instance", "p1"]
        #expect(try await Program.run(ingest, input: bytes(generatedLines(0..<5))).status == 0)
        let well = try await health(in: folder)
        #expect(
            well.status == 0
                && well.text == "stream events is well: minimum 5, newest event 5, 0 writers, 0 consumers\n")
        let read = ["tail", "--consumer", "mailer", "--database", folder.database]
        #expect(try await Program.run(read).status == 0)
        #expect(try await Program.run(ingest, input: bytes(generatedLines(5..<8))).status == 0)
        #expect(try await health(in: folder).status == 0)
        let late = try await health("--consumer-lag", "0", in: folder)
        #expect(late.status == 75 && late.output.isEmpty && late.errorLines.count == 1)
        #expect(late.errors.contains("stream events: consumer mailer is 3 IDs behind, for "))
        let json = try await health("--consumer-lag", "0", "--json", in: folder)
        #expect(json.status == 75)
        #expect(
            json.text.hasPrefix("{\"stream\":\"events\",\"healthy\":false,\"minimum_persisted\":8,\"newest_event\":8,"))
    }

    @Test func `a database or a stream that is not there is 69, and a limit that is none is 64`() async throws {
        let folder = try TemporaryFolder()
        #expect(try await health(in: folder).status == 69)
        let ingest = ["ingest", "--database", folder.database, "--instance", "p1"]
        #expect(try await Program.run(ingest, input: bytes(generatedLines(0..<1))).status == 0)
        let other = try await health("--stream", "orders", in: folder)
        #expect(other.status == 69 && other.errors.contains("no stream named orders"))
        #expect(try await health("--standstill", "-1", in: folder).status == 64)
    }
}

import Foundation
import TestSupport
import Testing
import Tidemark
import TidemarkSQLite

@Suite struct ParkedTests {
    private struct Refused: Error, CustomStringConvertible { let description = "no\nsuch address" }

    /// Two events of one key are parked, and their consumer does not run any more.
    private func park(in folder: TemporaryFolder) async throws {
        let store = try await SQLiteEventStore.open(path: folder.database)
        let log = try await EventLog.open(store, instance: "p1")
        for id in ["a", "b"] {
            let line = "{\"id\":\"\(id)\",\"type\":\"noted\",\"key\":\"k\"}"
            try await log.persist(Event(id: id, type: "noted", key: "k", payload: Array(line.utf8)))
        }
        let worker = log.processor("mailer", configuration: ProcessorConfiguration(maximumAttempts: 1)) { _ in
            throw Refused()
        }
        let task = Task { try await worker.run() }
        try await eventually {
            try await store.status(of: "events")?.consumers.first { $0.name == "mailer" }?.position == 2
        }
        task.cancel()
        try await task.value
        await log.shutDown()
        await store.close()
    }

    private func consumer(_ arguments: String..., in folder: TemporaryFolder) async throws -> Outcome {
        try await Program.run(["consumer"] + arguments + ["--database", folder.database])
    }

    @Test func `parked events are shown, marked to be tried again, and dropped`() async throws {
        let folder = try TemporaryFolder()
        try await park(in: folder)
        let table = try await consumer("parked", "mailer", in: folder)
        #expect(
            table.lines == [
                "STREAM_ID\tREASON\tATTEMPTS\tRETRIED\tEVENT\tPROBLEM", "1\tfailed\t1\tno\ta\tno such address",
                "2\tfailed\t1\tno\tb\tno such address",
            ])
        #expect(
            try await consumer("retry", "mailer", "2", in: folder).text
                == "marked 1 parked event of consumer mailer of stream events\n")
        let json = try await consumer("parked", "mailer", "--json", in: folder)
        #expect(json.lines.count == 2)
        #expect(
            json.lines[1].hasPrefix("{\"stream_id\":2,\"reason\":\"failed\",\"attempts\":1,\"is_to_be_retried\":true"))
        #expect(json.lines[0].contains("\"event\":{\"id\":\"a\",\"type\":\"noted\",\"key\":\"k\"}}"))
        #expect(
            try await consumer("drop", "mailer", "--all", in: folder).text
                == "dropped 2 parked events of consumer mailer of stream events\n")
        #expect(
            try await consumer("parked", "mailer", in: folder).text
                == "consumer mailer of stream events has parked nothing\n")
    }

    @Test(arguments: [
        (["retry", "mailer", "3"], 65), (["drop", "mailer", "3"], 65), (["retry", "post", "1"], 69),
        (["retry", "mailer"], 64), (["drop", "mailer", "1", "--all"], 64), (["retry", "mailer", "zero"], 64),
        (["parked", "post"], 69),
    ])
    func `what is not parked, or a consumer that is not there, is an error`(
        arguments: [String], status: Int
    ) async throws {
        let folder = try TemporaryFolder()
        try await park(in: folder)
        let outcome = try await Program.run(["consumer"] + arguments + ["--database", folder.database])
        #expect(Int(outcome.status) == status && outcome.output.isEmpty && !outcome.errors.isEmpty)
    }
}

import Foundation
import TestSupport
import Testing
import TidemarkTesting

@testable import TidemarkCLI

/// What can be wrong with a server, a role or a call: each a sentence on one line, the right status, and no password.
@Suite(.enabled(if: PostgresServerProcess.isInstalled), .timeLimit(.minutes(5))) struct PostgreSQLBadInputTests {
    private static let commands = [
        ["ingest", "--instance", "p1"], ["tail"], ["status"], ["audit", "--consumer", "c"], ["consumer", "list"],
        ["close", "--instance", "p1"],
    ]

    /// The one line of each command.
    private func errors(
        _ status: Int32, _ place: String..., commands: [[String]] = Self.commands
    ) async throws -> [String] {
        var lines: [String] = []
        for command in commands {
            let outcome = try await Program.run(command + ["--database"] + place)
            #expect(outcome.status == status, "\(command): \(outcome.errors)")
            #expect(outcome.errorLines.count == 1 && outcome.output.isEmpty, "\(command): \(outcome.errors)")
            #expect(outcome.errors.hasPrefix("tidemark: ") && !outcome.errors.contains("hunter2"), "\(outcome.errors)")
            lines += outcome.errorLines
        }
        return lines
    }

    @Test(arguments: [
        ["postgres://me:hunter2@h:port/d"], ["postgres://me:hunter2@h@x/d"], ["postgres://me:hunter2@h/d?colour=red"],
        ["postgres://me:hunter2@h/d", "--namespace", "No Space"],
        ["postgres://me:hunter2@h/d", "--namespace", "pg_mine"],
        ["postgres://me:hunter2@h/d", "--direct", "h:hunter2"], ["events.db", "--namespace", "marks"],
        ["events.db", "--direct", "postgres://me:hunter2@h/d"],
    ])
    func `a wrong address is 64`(place: [String]) async throws {
        for command in Self.commands {
            let outcome = try await Program.run(command + ["--database"] + place)
            #expect(outcome.status == 64 && outcome.errorLines.count == 1, "\(command): \(outcome.errors)")
            #expect(!outcome.errors.contains("hunter2"), "\(outcome.errors)")
        }
    }

    @Test func `a server that is not there is 69, and a follower waits for it`() async throws {
        let server = try await PostgresServerProcess()
        let database = try await server.newDatabase()
        try await server.stop()
        for line in try await errors(69, database) { #expect(line.contains("127.0.0.1:\(server.port)"), "\(line)") }
        let follower = try Program(["tail", "--follow", "--database", database])
        try await eventually("it waits") { follower.errors.contains("tidemark: waiting: ") }
        try await server.start()
        let writer = try await Program.run(
            "ingest", "--instance", "p1", "--database", database, input: bytes(generatedLines(0..<2)))
        #expect(writer.status == 0, "\(writer.errors)")
        try await follower.waitForLines(2)
        follower.send(SIGTERM)
        #expect(try await follower.outcome().status == 0)
    }

    @Test func `what a server refuses is 69, also for a follower`() async throws {
        let server = try await PostgresServerProcess(["fsync=off"])
        let database = try await server.newDatabase()
        try await server.sql(
            "CREATE ROLE me LOGIN PASSWORD 'right'", "CREATE ROLE busy LOGIN CONNECTION LIMIT 0",
            "CREATE ROLE weak LOGIN", "CREATE DATABASE closed",
            // In the order of its lines.
            """
            COPY (VALUES ('local all all trust'), ('host closed all 127.0.0.1/32 reject'),
            ('host all me 127.0.0.1/32 scram-sha-256'), ('host all all 127.0.0.1/32 trust'))
            TO '\(server.folder)/d/pg_hba.conf'
            """, "SELECT pg_reload_conf()")
        let refused: [(user: String, database: String, said: String)] = [
            ("me:hunter2", URL(string: database)!.lastPathComponent, "password authentication failed"),
            ("nobody", "postgres", "role \"nobody\" does not exist"),
            ("postgres", "nowhere", "database \"nowhere\" does not exist"),
            ("postgres", "closed", "pg_hba.conf rejects connection"),
            ("busy", "postgres", "too many connections for role"),
        ]
        for (user, name, said) in refused {
            let address = server.address(database: name, user: user)
            for line in try await errors(69, address) { #expect(line.contains(said), "\(line)") }
        }
        // Nothing of this comes right by itself.
        for user in ["me:hunter2", "nobody"] {
            _ = try await errors(69, server.address(user: user), commands: [["tail", "--follow"]])
        }

        let name = URL(string: database)!.lastPathComponent
        let weak = server.address(database: name, user: "weak")
        #expect(try await errors(69, weak, commands: [Self.commands[0]])[0].contains("GRANT CREATE ON DATABASE"))
        #expect(
            try await Program.run(
                "ingest", "--instance", "p1", "--database", database, input: bytes(generatedLines(0..<1))
            )
            .status == 0)
        for line in try await errors(69, weak) { #expect(line.contains("GRANT USAGE ON SCHEMA"), "\(line)") }
        try await server.sql("GRANT USAGE ON SCHEMA tidemark TO weak", at: database)
        for line in try await errors(69, weak) { #expect(line.contains("GRANT SELECT ON ALL TABLES"), "\(line)") }
        _ = try await errors(69, weak, commands: [["tail", "--follow"]])
    }

    @Test func `a namespace that is taken, of another version or half made is 69`() async throws {
        let server = try await PostgresServerProcess(["fsync=off"])
        let database = try await server.newDatabase()
        try await server.sql("CREATE SCHEMA tidemark", "CREATE TABLE tidemark.letters (id bigint)", at: database)
        for line in try await errors(69, database, commands: [Self.commands[0]]) {
            #expect(line.contains("holds something else: choose another one"), "\(line)")
        }
        _ = try await errors(69, database, commands: Self.commands + [["tail", "--follow"]])
        try await server.sql("DROP SCHEMA tidemark CASCADE", at: database)
        let writer = ["ingest", "--instance", "p1", "--database", database]
        #expect(try await Program.run(writer, input: bytes(generatedLines(0..<1))).status == 0)
        try await server.sql("ALTER TABLE tidemark.events RENAME TO former", at: database)
        for line in try await errors(69, database, commands: [["tail"], ["status"]]) {
            #expect(line.contains("its schema is not whole"), "\(line)")
        }
        try await server.sql("UPDATE tidemark.schema_version SET version = 99", at: database)
        for line in try await errors(69, database) { #expect(line.contains("99"), "\(line)") }
    }
}

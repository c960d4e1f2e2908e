import Foundation
import Synchronization
import TestSupport
import Testing
import TidemarkTesting

@testable import TidemarkCLI

/// The program on a real server: what it does on a file it does there.
@Suite(.enabled(if: PostgresServerProcess.isInstalled), .timeLimit(.minutes(5))) struct PostgreSQLTests {
    /// One that tests share which do no harm to it, each in a database of its own.
    private static let shared = Mutex<Task<PostgresServerProcess, any Error>?>(nil)

    private static var server: PostgresServerProcess {
        get async throws {
            let task = shared.withLock { task in
                let begun =
                    task ?? Task { try await PostgresServerProcess(["fsync=off", "max_prepared_transactions=5"]) }
                task = begun
                return begun
            }
            return try await task.value
        }
    }

    enum Engine: CaseIterable { case sqlite, postgreSQL }

    @Test func `the quick start of the README runs as it is`() async throws {
        let program = try Program("PostgreSQLQuickStart", [try await Self.server.newDatabase()])
        let outcome = try await program.outcome()
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.lines == ["1 p1 order-1", "2 p1 order-2"])
    }

    //  The same commands, with the same answers, whatever the database is.
    @Test(arguments: Engine.allCases)
    func `all commands work on both stores`(engine: Engine) async throws {
        let folder = try TemporaryFolder()
        let database =
            switch engine {
            case .sqlite: "sqlite:" + folder.database
            case .postgreSQL: try await Self.server.newDatabase()
            }
        func run(_ arguments: String..., input: [String] = []) async throws -> Outcome {
            let outcome = try await Program.run(arguments + ["--database", database], input: bytes(input))
            #expect(outcome.errors.isEmpty || outcome.errorLines.count == 1, "\(arguments): \(outcome.errors)")
            return outcome
        }
        let lines = generatedLines(0..<20)
        let first = try await run("ingest", "--instance", "p1", "--print", input: lines)
        #expect(first.status == 0, "\(first.errors)")
        #expect(first.lines == (0..<20).map { "\($0 + 1)\tevent-\($0)" })
        // The same again, which writes nothing.
        #expect(try await run("ingest", "--instance", "p2", "--print", input: lines).lines == first.lines)
        let tail = try await run("tail")
        #expect(tail.status == 0)
        #expect(try tail.lines.map(parsed).map(\.event) == lines)
        #expect(try await run("tail", "--after", "15").lines.count == 5)
        #expect(try await run("tail", "--consumer", "mailer").lines.count == 20)
        #expect(try await run("events", "--key", "room-1").status == 69)
        #expect(try await run("index").text == "the index of keys of stream events is complete\n")
        #expect(try await run("events", "--key", "room-1").lines == [1, 6, 11, 16].map { tail.lines[$0] })
        #expect(try await run("consumer", "list").text.contains("mailer    20        0"))
        #expect(try await run("consumer", "move", "mailer", "--to", "18").text.hasSuffix("it goes on after 18\n"))
        #expect(try await run("tail", "--consumer", "mailer").lines.count == 2)
        let audit = try await run("audit", "--consumer", "mailer", "--json")
        #expect(audit.status == 0)
        #expect(audit.text.contains("\"complete\":true,\"position\":20"), "\(audit.text)")

        let status = try await run("status", "--json")
        #expect(status.text.hasPrefix("{\"stream\":\"events\",\"sequence\":"))
        #expect(status.text.contains("\"held_back_by\":null,\"writers\":[],"))
        #expect(status.text.contains("\"left\":2,\"write_lock_held_by\":null"))
        #expect(status.text.contains("\"in_the_way\":[],"))
        #expect(try await run("status", "--all").text.contains("left"))
        #expect(try await run("close", "--instance", "p1").text.hasPrefix("closed p1 in stream events"))
        #expect(try await run("forget", "--instance", "p1").text == "forgot p1 in stream events\n")
        #expect(try await run("retire", "--instance", "p1").status == 69)

        let writer = try Program(["ingest", "--instance", "p3", "--database", database])
        writer.write(generatedLines(20..<21)[0])
        try await eventually("p3 has joined") {
            try await run("status", "--json").text.contains("\"instance\":\"p3\"")
        }
        #expect(try await run("forget", "--instance", "p3").status == 75)
        #expect(try await run("retire", "--instance", "p3").text.hasPrefix("retired p3 in stream events"))
        writer.endInput()
        #expect(try await writer.outcome().status == 0)
        #expect(try await run("tail").lines.count == 21)

        #expect(try await run("tail", "--after", "10000000").status == 65)
        #expect(try await run("tail", "--stream", "orders").errors.contains("no stream named orders; there is events"))
    }

    @Test func `a writer makes the tables in the namespace that it is given, and readers wait for them or end`()
        async throws
    {
        let database = try await Self.server.newDatabase()
        let place = ["--database", database, "--namespace", "marks"]
        for arguments in [
            ["tail"], ["status"], ["audit", "--consumer", "c"], ["consumer", "list"], ["close", "--instance", "p"],
            ["retire", "--instance", "p"], ["forget", "--instance", "p"], ["consumer", "move", "c", "--to", "end"],
        ] {
            let outcome = try await Program(arguments + place).outcome()
            #expect(outcome.status == 69 && outcome.errorLines.count == 1, "\(arguments): \(outcome.errors)")
            #expect(outcome.errors.contains("no schema of Tidemark"), "\(outcome.errors)")
        }
        #expect(
            try await Self.server.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'marks'", at: database)
                == "0\n")
        let follower = try Program(["tail", "--follow"] + place)
        try await eventually("it waits") { follower.errors.contains("waiting: ") }
        let writer = try await Program.run(["ingest", "--instance", "p1"] + place, input: bytes(generatedLines(0..<3)))
        #expect(writer.status == 0, "\(writer.errors)")
        try await follower.waitForLines(3)
        follower.send(SIGINT)
        #expect(try await follower.outcome().status == 0)
        #expect(try await Self.server.sql("SELECT count(*) FROM marks.events", at: database) == "3\n")
    }

    //  p1   joins, is killed
    //  p2                     writes, above what p1 has promised
    //  tail                                                     passes p1, whose session lock is gone
    @Test func `a writer that was killed is passed because its session is gone`() async throws {
        let database = try await Self.server.newDatabase()
        let dead = try Program(["ingest", "--instance", "p1", "--print", "--database", database])
        dead.write(generatedLines(0..<1)[0])
        try await dead.waitForLines(1)
        let tail = try Program(["tail", "--follow", "--database", database])
        try await tail.waitForLines(1)
        try await dead.killAndWait()
        let writer = try await Program.run(
            "ingest", "--instance", "p2", "--database", database, input: bytes(generatedLines(1..<4)))
        #expect(writer.status == 0)
        try await tail.waitForLines(4)
        // Its silence alone would have taken 5 s.
        let age = try await Self.server.sql(
            "SELECT extract(epoch FROM clock_timestamp() - heartbeat_at) < 5 FROM tidemark.instances WHERE instance = 'p1'",
            at: database)
        #expect(age == "t\n")
        #expect(tail.errors.isEmpty, "\(tail.errors)")
        tail.send(SIGTERM)
        #expect(try await tail.outcome().status == 0)
    }

    @Test func `with nothing else named, processes hear each other by LISTEN and NOTIFY`() async throws {
        let database = try await Self.server.newDatabase()
        // Makes the tables.
        #expect(try await Program.run("ingest", "--instance", "p0", "--database", database).status == 0)
        let writer = try Program(["ingest", "--instance", "p1", "--database", database])
        let silent = try Program(["ingest", "--instance", "p2", "--replication", "none", "--database", database])
        func notifying() async throws -> String {
            try await Self.server.sql(
                """
                SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND query LIKE '%pg_notify%' AND pid <> pg_backend_pid()
                """, at: database)
        }
        try await eventually("both have joined") {
            try await Self.server.sql(
                "SELECT count(*) FROM tidemark.instances WHERE heartbeat > 1", at: database) == "2\n"
        }
        #expect(try await notifying() == "1\n")
        for program in [writer, silent] {
            program.endInput()
            #expect(try await program.outcome().status == 0)
        }
    }

    @Test func `the server is started again, and what runs goes on`() async throws {
        let server = try await PostgresServerProcess()
        let database = try await server.newDatabase()
        let writer = try Program(["ingest", "--instance", "p1", "--print", "--database", database])
        let tail = try Program(["tail", "--follow", "--database", database])
        writer.write(bytes(generatedLines(0..<5)))
        try await writer.waitForLines(5)
        try await tail.waitForLines(5)
        try await server.restart()
        writer.write(bytes(generatedLines(5..<9)))
        try await writer.waitForLines(9)
        try await tail.waitForLines(9)
        writer.endInput()
        #expect(try await writer.outcome().status == 0)
        tail.send(SIGTERM)
        let outcome = try await tail.outcome()
        #expect(outcome.status == 0)
        #expect(try outcome.lines.map(parsed).map(\.event) == generatedLines(0..<9))
    }

    @Test func `a service file, the password file and the environment name what an address leaves out`() async throws {
        let server = try await PostgresServerProcess(["fsync=off"])
        let database = URL(string: try await server.newDatabase())!.lastPathComponent
        try await server.sql(
            "CREATE ROLE me LOGIN PASSWORD 'hunter2'", "GRANT CREATE ON DATABASE \(database) TO me",
            """
            COPY (VALUES ('local all all trust'), ('host all me 127.0.0.1/32 scram-sha-256'),
            ('host all all 127.0.0.1/32 trust')) TO '\(server.folder)/d/pg_hba.conf'
            """, "SELECT pg_reload_conf()")
        let folder = try TemporaryFolder()
        func write(_ name: String, _ text: String) throws -> String {
            let path = folder.path + "/" + name
            try text.write(toFile: path, atomically: true, encoding: .utf8)
            try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: path)
            return path
        }
        let services =
            "PGSERVICEFILE="
            + (try write(
                "services", "[mine]\nhost=127.0.0.1\nport=\(server.port)\ndbname=\(database)\nuser=me\n"))
        let right = "PGPASSFILE=" + (try write("right", "127.0.0.1:\(server.port):*:me:hunter2\n"))
        let wrong = "PGPASSFILE=" + (try write("wrong", "127.0.0.1:\(server.port):*:me:hunter3\n"))
        let names = ["PGHOST=127.0.0.1", "PGPORT=\(server.port)", "PGDATABASE=\(database)", "PGUSER=me"]
        let place = "127.0.0.1:\(server.port)/\(database)"
        func run(_ variables: [String], _ address: String, _ command: [String]) async throws -> Outcome {
            let program = try Program(
                executable: URL(fileURLWithPath: "/usr/bin/env"),
                ["PGSERVICEFILE=/nowhere", "PGPASSFILE=/nowhere"] + variables + [Program.executable("tidemark").path]
                    + command + ["--database", address])
            program.write(bytes(generatedLines(0..<1)))
            program.endInput()
            let outcome = try await program.outcome()
            #expect(!outcome.errors.contains("hunter"), "\(outcome.errors)")
            return outcome
        }
        let writer = ["ingest", "--instance", "p1", "--print"]
        try await eventually("the rule counts") {
            try await run([services, wrong], "postgres:///?service=mine", writer).status == 69
        }
        for (variables, address) in [
            ([services, right], "postgres:///?service=mine"), (names + [right], "postgres://"),
            (names + ["PGPASSWORD=hunter2"], "postgres://"), ([right], "postgres://me@\(place)"),
            (["PGPASSWORD=hunter3"], "postgres://me:hunter2@\(place)"),
            ([services, right, "PGSERVICE=mine"], "postgres://"),
        ] {
            let outcome = try await run(variables, address, writer)
            #expect(outcome.status == 0 && outcome.lines == ["1\tevent-0"], "\(address): \(outcome.errors)")
        }
        for (variables, address, said) in [
            ([services, wrong], "postgres:///?service=mine", "password authentication failed for user \"me\""),
            ([services], "postgres:///?service=mine", "no password supplied"),
            ([services, right], "postgres:///?service=other", "definition of service \"other\" not found"),
            (names + ["PGPASSWORD=hunter3"], "postgres://", "password authentication failed for user \"me\""),
            (names + ["PGSSLMODE=require", right], "postgres://", "server does not support SSL"),
        ] {
            for command in [writer, ["status"], ["tail"]] {
                let outcome = try await run(variables, address, command)
                #expect(outcome.status == 69 && outcome.errorLines.count == 1, "\(command): \(outcome.errors)")
                #expect(outcome.errors.contains(said), "\(outcome.errors)")
            }
        }
    }

    @Test func `what stands in the way of closing and settling is shown, with what ends it`() async throws {
        let database = try await Self.server.newDatabase()
        let writer = try Program(["ingest", "--instance", "p1", "--print", "--database", database])
        writer.write(generatedLines(0..<1)[0])
        try await writer.waitForLines(1)
        let server = try await Self.server
        try await server.sql(
            "BEGIN", "SELECT pg_advisory_xact_lock_shared(tidemark.writer_lock_1('events', 'p1'))",
            "PREPARE TRANSACTION 'stuck'", at: database)
        let session = try Program(
            executable: URL(fileURLWithPath: "/bin/bash"), ["-c", "exec psql -XAtq \"$0\"", database])
        session.write("SET application_name = 'shop'; BEGIN;")
        session.write("SELECT 'in', pg_advisory_xact_lock_shared(tidemark.group_lock_1('events', 'p1'));")
        try await session.waitForLines(1)
        let closing = try Program(["close", "--instance", "p1", "--database", database])

        func status(_ flags: String...) async throws -> String {
            try await Program.run(["status", "--database", database] + flags).text
        }
        try await eventually("close waits for the prepared transaction") {
            try await status("--json").contains("\"waiting\":1}")
        }
        try await eventually("the session is old enough") { try await status().contains("(shop)") }
        let text = try await status()
        #expect(
            text.contains(
                "in the way         the prepared transaction \"stuck\" of role postgres, which only COMMIT PREPARED"))
        #expect(text.contains(": in the way of closing p1"))
        #expect(text.contains("of role postgres (shop), idle in transaction, for "))
        #expect(text.contains(": in the way of settling p1\n"))
        let json = try await status("--json")
        #expect(json.contains("{\"instance\":\"p1\",\"holds_up\":[\"closing\"],"))
        #expect(json.contains("\"backend\":null,\"prepared\":\"stuck\","))
        #expect(json.contains("\"holds_up\":[\"settling\"],"))

        // It waits for its limit, cannot end what is prepared, and says who that is.
        let outcome = try await closing.outcome()
        #expect(outcome.status == 75 && outcome.errorLines.count == 1)
        #expect(outcome.errors.contains("\"stuck\""), "\(outcome.errors)")
        try await server.sql("ROLLBACK PREPARED 'stuck'", at: database)
        session.write("ROLLBACK;")
        session.endInput()
        _ = try await session.outcome()
        writer.endInput()
        #expect(try await writer.outcome().status == 0)
        #expect(try await status("--json").contains("\"in_the_way\":[],"))
    }
}

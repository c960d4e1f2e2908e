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

    @Test func `a server that is too old is 69, also for a follower`() async throws {
        let server = try ServerOfVersion("12.22")
        defer { withExtendedLifetime(server) {} }
        let commands = Self.commands + [["tail", "--follow"]]
        for line in try await errors(69, "postgres://me:hunter2@127.0.0.1:\(server.port)/d", commands: commands) {
            #expect(line.contains("has version 12.22: use 13 or later"), "\(line)")
        }
    }

    @Test func `a standby is 69, with what to do`() async throws {
        let server = try await PostgresServerProcess(["fsync=off"])
        defer { withExtendedLifetime(server) {} }
        let database = try await server.newDatabase()
        let writer = ["ingest", "--instance", "p1", "--database", database]
        #expect(try await Program.run(writer, input: bytes(generatedLines(0..<1))).status == 0)
        try await server.stop()
        #expect(FileManager.default.createFile(atPath: server.folder + "/d/standby.signal", contents: nil))
        try await server.start()
        let commands =
            Self.commands + [
                ["tail", "--follow"], ["retire", "--instance", "p1"], ["consumer", "move", "c", "--to", "end"],
                ["health"], ["prune", "--keep", "1"],
            ]
        for line in try await errors(69, database, commands: commands) {
            #expect(line.contains("is a standby, or can only be read: name the primary"), "\(line)")
        }
    }

    @Test func `what a server warns of with each connection is not written to standard error`() async throws {
        let server = try await PostgresServerProcess(["fsync=off"])
        let database = try await server.newDatabase()
        try await server.sql(
            "CREATE ROLE warned SUPERUSER LOGIN", "ALTER ROLE warned SET default_tablespace = 'nowhere'", at: database)
        let place = server.address(database: String(database.split(separator: "/").last ?? ""), user: "warned")
        let writer = try await Program.run(
            "ingest", "--instance", "p1", "--database", place, input: bytes(generatedLines(0..<1)))
        #expect(writer.status == 0 && writer.errors.isEmpty, "\(writer.errors)")
    }

    @Test(.enabled(if: Pooler.isInstalled, "needs pgbouncer"))
    func `a pooler where the server itself has to be is 69, and where it need not be the command works`() async throws {
        let server = try await PostgresServerProcess(["fsync=off"])
        let database = try await server.newDatabase()
        let pooler = try Pooler(before: server, database)
        defer { withExtendedLifetime((server, pooler)) {} }
        let writer = ["ingest", "--instance", "p1", "--database", pooler.address]
        #expect(
            try await Program.run(writer + ["--direct", database], input: bytes(generatedLines(0..<2))).status == 0)
        let withLife = [["ingest", "--instance", "p1"], ["tail"], ["tail", "--follow"], ["tail", "--consumer", "c"]]
        for place in [[pooler.address], [pooler.address, "--direct", pooler.address]] {
            for command in withLife {
                let outcome = try await Program.run(command + ["--database"] + place)
                #expect(outcome.status == 69 && outcome.errorLines.count == 1, "\(command): \(outcome.errors)")
                #expect(outcome.errors.contains("is a connection pooler, and not the PostgreSQL server itself"))
                #expect(outcome.errors.contains("--direct of the program"), "\(outcome.errors)")
            }
        }
        for command in [["status"], ["health"], ["consumer", "list"], ["close", "--instance", "p1"]] {
            let outcome = try await Program.run(command + ["--database", pooler.address])
            #expect(outcome.status == 0, "\(command): \(outcome.errors)")
        }
        let tail = try await Program.run("tail", "--database", pooler.address, "--direct", database)
        #expect(tail.status == 0 && tail.lines.count == 2, "\(tail.errors)")
    }

    @Test func `a role that may only look is told the grant that it lacks, or whom to ask`() async throws {
        let server = try await PostgresServerProcess(["fsync=off"])
        let database = try await server.newDatabase()
        let writer = ["ingest", "--instance", "p1", "--database", database]
        #expect(try await Program.run(writer, input: bytes(generatedLines(0..<1))).status == 0)
        try await server.sql("CREATE ROLE looks LOGIN", "CREATE ROLE nobody", at: database)
        let rights = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../Sources/TidemarkPostgreSQL/Schema/rights.sql")
        let script = """
            exec psql -Xq -v ON_ERROR_STOP=1 -v namespace=tidemark -v writers=nobody -v readers=looks -f "$1" "$0"
            """
        let granted = try Program(
            executable: URL(filePath: "/bin/bash"), ["-c", script, database, rights.standardizedFileURL.path])
        granted.endInput()
        #expect(try await granted.outcome().status == 0)
        let looks = server.address(database: URL(string: database)!.lastPathComponent, user: "looks")
        for command in [["tail"], ["status"], ["health"], ["consumer", "list"]] {
            #expect(try await Program.run(command + ["--database", looks]).status == 0, "\(command)")
        }
        let lacking = [
            (["ingest", "--instance", "p2"], "standing_1"), (["close", "--instance", "p1"], "close_1"),
            (["retire", "--instance", "p1"], "retire_1"), (["tail", "--consumer", "c"], "claim_consumer_1"),
        ]
        for (command, function) in lacking {
            let line = try await errors(69, looks, commands: [command])[0]
            #expect(line.contains("GRANT EXECUTE ON FUNCTION \"tidemark\".\(function) TO \"looks\""), "\(line)")
        }
        let line = try await errors(69, looks, commands: [["prune", "--keep", "0"]])[0]
        #expect(line.contains("only the owner of the tables may do this"), "\(line)")
        #expect(!line.contains("GRANT"), "\(line)")
    }

    /// The table lies in a space of its own, on a disk without room.
    @Test(.enabled(if: SmallDisk.mayBeMade, "needs to be root, and to mount"))
    func `a server whose disk is full is 69, and nothing that was acknowledged is lost`() async throws {
        let server = try await PostgresServerProcess(["fsync=off"])
        let database = try await server.newDatabase()
        let writer = ["ingest", "--instance", "p1", "--print", "--batch", "50", "--database", database]
        #expect(try await Program.run(writer).status == 0)
        let disk = try SmallDisk(at: server.folder + "/small")
        defer { disk.remove() }
        try await server.sql("CREATE TABLESPACE small LOCATION '\(disk.path)'")
        try await server.sql("ALTER TABLE tidemark.events SET TABLESPACE small", at: database)
        let text = String(repeating: "x", count: 1000)
        let lines = (0..<4000).map { "{\"id\":\"e\($0)\",\"type\":\"t\",\"text\":\"\(text)\"}" }
        let outcome = try await Program.run(writer, input: bytes(lines))
        #expect(outcome.status == 69 && outcome.errorLines.count == 1, "\(outcome.errors)")
        #expect(outcome.errors.contains("the disk of PostgreSQL at 127.0.0.1:\(server.port)"), "\(outcome.errors)")
        let tail = try await Program.run("tail", "--database", database)
        #expect(!outcome.lines.isEmpty && tail.lines.count >= outcome.lines.count)
    }

    /// Somebody has locked the tables, or waits for a lock of one, behind which everybody waits.
    @Test func `a table that is locked is 75 for who looks, with who has it`() async throws {
        let server = try await PostgresServerProcess(["fsync=off"])
        let database = try await server.newDatabase()
        let writer = ["ingest", "--instance", "p1", "--database", database]
        #expect(try await Program.run(writer, input: bytes(generatedLines(0..<1))).status == 0)
        func session(_ name: String, _ statement: String) throws -> Program {
            let session = try Program(
                executable: URL(filePath: "/bin/bash"), ["-c", "exec psql -XAtq \"$0\"", database])
            session.write("SET application_name = '\(name)'; BEGIN;")
            session.write(statement)
            return session
        }
        func waiting() async throws -> String {
            try await server.sql("SELECT count(*) FROM pg_locks WHERE NOT granted", at: database)
        }
        let building = try session("index", "LOCK TABLE tidemark.events IN SHARE MODE; SELECT 'in';")
        try await building.waitForLines(1)
        try await eventually("it is old enough to be shown") {
            try await Program.run("status", "--database", database).text.contains(
                "(index), idle in transaction, for ")
        }
        let status = try await Program.run("status", "--json", "--database", database)
        #expect(
            status.text.contains("\"in_the_way\":[{\"instance\":null,\"holds_up\":[\"writing\"],"), "\(status.text)")
        let changing = try session("migrate", "ALTER TABLE tidemark.events ADD COLUMN extra integer;")
        try await eventually("the change waits") { try await waiting() == "1\n" }
        for command in [["status"], ["health"]] {
            let line = try await errors(75, database, commands: [command])[0]
            #expect(line.contains("(migrate), active, which waits for backend "), "\(line)")
            #expect(line.contains("(index), idle in transaction, itself"), "\(line)")
        }
        building.write("ROLLBACK;")
        building.endInput()
        _ = try await building.outcome()
        changing.write("ROLLBACK;")
        changing.endInput()
        _ = try await changing.outcome()
        #expect(try await Program.run("status", "--database", database).status == 0)
    }
}

/// Says that it is a server of that version, and no more: one that is too old is asked for nothing.
private final class ServerOfVersion: Sendable {
    private let listener: LoopbackListener
    var port: Int { listener.port }

    init(_ version: String) throws {
        let listener = try LoopbackListener()
        self.listener = listener
        func message(_ kind: Character, _ body: [UInt8]) -> [UInt8] {
            [kind.asciiValue ?? 0, 0, 0, 0, UInt8(body.count + 4)] + body
        }
        let hello =
            message("R", [0, 0, 0, 0]) + message("S", Array("server_version".utf8) + [0] + Array(version.utf8) + [0])
            + message("K", [0, 0, 0, 7, 0, 0, 0, 7]) + message("Z", Array("I".utf8))
        Thread {
            while true {
                let client = accept(listener.descriptor, nil, nil)
                guard client >= 0 else { return }
                Thread { Self.greet(client, hello) }.start()
            }
        }.start()
    }

    deinit { shutdown(listener.descriptor, Int32(SHUT_RDWR)) }

    private static func greet(_ client: CInt, _ hello: [UInt8]) {
        defer { close(client) }
        var head: [UInt8] = Array(repeating: 0, count: 8)
        while recv(client, &head, head.count, Int32(MSG_WAITALL)) == head.count {
            // A question whether it speaks TLS: it does not.
            if head[4] == 4, head[5] == 210 {
                _ = send(client, [UInt8(ascii: "N")], 1, Int32(MSG_NOSIGNAL))
                continue
            }
            _ = send(client, hello, hello.count, Int32(MSG_NOSIGNAL))
            var rest: [UInt8] = Array(repeating: 0, count: 1024)
            while recv(client, &rest, rest.count, 0) > 0 {}
            return
        }
    }
}

/// PgBouncer in transaction mode, which ends with this object.
private final class Pooler {
    private static let executable = "/usr/sbin/pgbouncer"
    static let isInstalled = FileManager.default.isExecutableFile(atPath: executable)

    let address: String
    private let folder: TemporaryFolder
    private let program: Program

    init(before server: PostgresServerProcess, _ database: String) throws {
        folder = try TemporaryFolder()
        let port = try LoopbackListener().port
        let name = URL(string: database)?.lastPathComponent ?? ""
        address = "postgres://postgres@127.0.0.1:\(port)/\(name)"
        let path = folder.path + "/pgbouncer.ini"
        try """
        [databases]
        \(name) = host=127.0.0.1 port=\(server.port) user=postgres
        [pgbouncer]
        listen_addr = 127.0.0.1
        listen_port = \(port)
        unix_socket_dir =
        auth_type = any
        pool_mode = transaction
        """.write(toFile: path, atomically: true, encoding: .utf8)
        // It refuses to run as root, and has to read its file.
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: folder.path)
        try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: path)
        let asPostgres = getuid() == 0 ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] : []
        program = try Program(
            executable: URL(filePath: "/usr/bin/env"), asPostgres + [Self.executable, "-q", path])
    }
}

/// A file system of 2 MiB in memory for the server's user.
private struct SmallDisk {
    static let mayBeMade = getuid() == 0 && Surroundings.mayMount

    let path: String

    init(at path: String) throws {
        self.path = path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        try Self.run("mount -t tmpfs -o size=2m,mode=700,uid=$(id -u postgres),gid=$(id -g postgres) none \"$0\"", path)
    }

    func remove() { try? Self.run("umount -l \"$0\"", path) }

    private static func run(_ script: String, _ path: String) throws {
        let process = Process()
        process.executableURL = URL(filePath: "/bin/sh")
        process.arguments = ["-c", script, path]
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw CocoaError(.fileWriteUnknown) }
    }
}

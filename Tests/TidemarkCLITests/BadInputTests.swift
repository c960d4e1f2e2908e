import Foundation
import GRDB
import TestSupport
import Testing
import Tidemark

@testable import TidemarkCLI

@Suite struct BadInputTests {
    @Test func `a bad line ends the writer after everything before it is durable`() async throws {
        let folder = try TemporaryFolder()
        let good = generatedLines(0..<16)
        let outcome = try await Program.run(
            "ingest", "--database", folder.database, "--instance", "p1",
            input: bytes(good + ["no JSON"] + generatedLines(16..<18)))
        #expect(outcome.status == 65)
        #expect(outcome.errorLines == ["standard input:17: the line is not JSON from byte 2 on"])
        let tail = try await Program.run("tail", "--database", folder.database)
        #expect(try tail.lines.map(parsed).map(\.event) == good)
        #expect(tail.status == 0)
    }

    private static let badLines: [String: [UInt8]] = [
        "no id": Array("{\"type\":\"t\"}\n".utf8), "no type": Array("{\"id\":\"e\"}\n".utf8),
        "a number as id": Array("{\"id\":1,\"type\":\"t\"}\n".utf8),
        "cut off": Array("{\"id\":\"e\",\"type\":\"t".utf8), "not UTF-8": [0x22, 0xFF, 0x22, 0x0A],
        "a long id": Array("{\"id\":\"\(String(repeating: "x", count: 256))\",\"type\":\"t\"}\n".utf8),
        "a long line": Array(
            "{\"id\":\"e\",\"type\":\"t\",\"x\":\"\(String(repeating: "x", count: 1 << 20))\"}\n".utf8),
    ]

    @Test(arguments: badLines.keys.sorted())
    func `each kind of bad line is one line on standard error, or is skipped`(kind: String) async throws {
        let line = try #require(Self.badLines[kind])
        let folder = try TemporaryFolder()
        let call = ["ingest", "--database", folder.database, "--instance", "p1"]
        let strict = try Program(call)
        strict.write(line)
        strict.endInput()
        let outcome = try await strict.outcome()
        #expect(outcome.status == 65)
        #expect(outcome.errorLines.count == 1 && outcome.errors.hasPrefix("standard input:1: "))

        let skipping = try Program(call + ["--skip-invalid", "--print"])
        let end = line.last == 0x0A ? [] : Array("\n".utf8)
        skipping.write(line + end + bytes(generatedLines(0..<1)))
        skipping.endInput()
        let skipped = try await skipping.outcome()
        #expect(skipped.status == 0)
        #expect(skipped.lines == ["1\tevent-0"])
        #expect(skipped.errorLines == ["tidemark: 1 invalid line was skipped"])
    }

    /// As a spreadsheet or an editor of another system leaves a file, and a second one that was appended to it.
    @Test func `byte order marks and blank lines are passed over, and lines keep their numbers`() async throws {
        let folder = try TemporaryFolder()
        let lines = generatedLines(0..<3)
        let text = "\u{FEFF}\(lines[0])\r\n\r\n\n\(lines[1])\n   \n\u{FEFF}\(lines[2])\n\nno JSON\n"
        let outcome = try await Program.run(
            "ingest", "--database", folder.database, "--instance", "p1", "--print", input: Array(text.utf8))
        #expect(outcome.status == 65 && outcome.lines == ["1\tevent-0", "2\tevent-1", "3\tevent-2"])
        #expect(outcome.errorLines == ["standard input:8: the line is not JSON from byte 2 on"])
        let tail = try await Program.run("tail", "--database", folder.database)
        #expect(try tail.lines.map(parsed).map(\.event) == [lines[0] + "\r", lines[1], lines[2]])
    }

    @Test(arguments: [
        ["ingest", "--instance", "p 1"], ["ingest", "--instance", ""], ["ingest"],
        ["ingest", "--instance", "p1", "--batch", "0"], ["ingest", "--instance", "p1", "--replication", "tcp://a:0"],
        ["ingest", "--instance", "p1", "--replication", "redis://a:0/c"],
        ["ingest", "--instance", "p1", "--replication", "unix: "],
        ["ingest", "--instance", "p1", "--replication", "smoke"], ["ingest", "--instance", "p1", "--stream", "a/b"],
        ["tail", "--after", "x"], ["tail", "--after=-1"], ["tail", "--consumer", "c", "--after", "1"],
        ["status", "--bogus"],
        ["close"], ["mend"],
    ])
    func `a wrong call is one line and 64`(arguments: [String]) async throws {
        let folder = try TemporaryFolder()
        let program = try Program(arguments + ["--database", folder.database])
        let outcome = try await program.outcome()
        #expect(outcome.status == 64)
        #expect(outcome.errorLines.count == 1 && outcome.errors.hasPrefix("tidemark: "))
        #expect(!FileManager.default.fileExists(atPath: folder.database))
    }

    @Test(arguments: [
        (["tial", "--database", "x"], "there is no command tial: did you mean tail?"),
        (["mend"], "there is no command mend: there are ingest, tail, "),
        (["replication", "wach", "--rows"], "there is no command wach: did you mean watch?"),
        (["help", "statsu"], "there is no command statsu: did you mean status?"),
        (["tail", "--datbase", "x"], "there is no option --datbase: did you mean --database?"),
        (["tail", "--database", "x", "--folow"], "did you mean --follow?"),
        (["replication", "watch", "--replicaton=redis://:hunter2@h/c"], "did you mean --replication?"),
        (["status", "--database", "x", "--colour"], "--colour"),
    ])
    func `a mistyped command or option is told with the one that is like it`(
        arguments: [String], hint: String
    ) async throws {
        let outcome = try await Program(arguments).outcome()
        #expect(outcome.status == 64 && outcome.errorLines.count == 1)
        #expect(outcome.errors.contains(hint) && !outcome.errors.contains("hunter2"), "\(outcome.errors)")
    }

    @Test(arguments: [
        (["tail", "--after", "-1"], "a stream ID, from 0 on"), (["tail", "--after=-1"], "a stream ID, from 0 on"),
        (["tail", "--after", "x"], "a stream ID, from 0 on"),
        (["tail", "--after", "9223372036854775808"], "a stream ID, from 0 on"),
        (["tail", "--after", "--follow"], "a stream ID, from 0 on"),
        (["tail", "--timeout", "-1"], "seconds, from 0 to 1000000"),
        (["tail", "--timeout", "nan"], "seconds, from 0 to 1000000"),
        (["ingest", "--instance", "p1", "--batch", "-5"], "a number from 1 to 10000"),
        (["ingest", "--instance", "p1", "--batch", "1.5"], "a number from 1 to 10000"),
        (["ingest", "--instance", "p1", "--max-payload", "-1"], "a number of bytes from 1 to 268435456"),
        (["consumer", "move", "c", "--to", "-1"], "beginning, end, or a stream ID, from 0 on"),
    ])
    func `a number that is not allowed is told with those that are`(arguments: [String], allowed: String) async throws {
        let folder = try TemporaryFolder()
        let outcome = try await Program(arguments + ["--database", folder.database]).outcome()
        #expect(outcome.status == 64 && outcome.errorLines.count == 1)
        #expect(outcome.errors.contains(allowed), "\(outcome.errors)")
    }

    @Test(arguments: ["postgre", "mysql"])
    func `an address of no store is a mistake in the call, and its password is not shown`(scheme: String) async throws {
        let outcome = try await Program.run(["status", "--database", "\(scheme)://app:secret@db/events"])
        #expect(outcome.status == 64 && outcome.errors.contains("no database is at \(scheme)://…"))
        #expect(!outcome.errors.contains("secret"))
    }

    @Test(arguments: ["", " ", "\t \n", "sqlite:", "sqlite: "])
    func `blanks are no path of a database`(path: String) async throws {
        for arguments in [["ingest", "--instance", "p1"], ["tail"], ["status"]] {
            let outcome = try await Program(arguments + ["--database", path]).outcome()
            #expect(outcome.status == 64 && outcome.errorLines.count == 1)
            #expect(outcome.errors.contains("give the path of a file"), "\(outcome.errors)")
        }
    }

    @Test(arguments: [[], ["--follow"]])
    func `a place above the sequence is an error that says where the sequence is`(flags: [String]) async throws {
        let folder = try TemporaryFolder()
        _ = try await Program.run(
            "ingest", "--database", folder.database, "--instance", "p1", input: bytes(generatedLines(0..<5)))
        let outcome = try await Program(["tail", "--database", folder.database, "--after", "6"] + flags).outcome()
        #expect(outcome.status == 65 && outcome.errorLines.count == 1 && outcome.output.isEmpty)
        #expect(outcome.errors.contains("stream events is at 5"), "\(outcome.errors)")
        let atTheEnd = try await Program.run("tail", "--database", folder.database, "--after", "5")
        #expect(atTheEnd.status == 0 && atTheEnd.output.isEmpty && atTheEnd.errors.isEmpty)
    }

    //  another program              readers
    //  BEGIN EXCLUSIVE              wait for some seconds, and say who lets nobody read
    @Test func `readers of a database that somebody lets nobody read say so soon`() async throws {
        let folder = try TemporaryFolder()
        _ = try await Program.run("ingest", "--database", folder.database, "--instance", "p1")
        var configuration = Configuration()
        configuration.allowsUnsafeTransactions = true
        let another = try DatabaseQueue(path: folder.database, configuration: configuration)
        try await another.writeWithoutTransaction { db in
            _ = try Row.fetchAll(db, sql: "PRAGMA locking_mode = EXCLUSIVE")
            try db.execute(sql: "BEGIN EXCLUSIVE")
        }
        let programs = try Self.reading.map { try Program($0 + ["--database", folder.database]) }
        for (program, arguments) in zip(programs, Self.reading) {
            let outcome = try await program.outcome(within: .seconds(20))
            #expect(outcome.status == 75 && outcome.errorLines.count == 1, "\(arguments)")
            #expect(
                outcome.errors.contains("nothing was read") && !outcome.errors.contains("writ"), "\(outcome.errors)")
            #if os(Linux)
            #expect(outcome.errors.contains("process \(getpid()) ("))
            #endif
        }
        try await another.writeWithoutTransaction { try $0.execute(sql: "ROLLBACK") }
    }

    @Test func `how unlike two words are is how many characters have to change`() {
        #expect(Spelling.distance("tail", "tail") == 0 && Spelling.distance("", "tail") == 4)
        #expect(Spelling.distance("tial", "tail") == 2 && Spelling.distance("datbase", "database") == 1)
        #expect(Spelling.distance("kitten", "sitting") == 3)
    }

    @Test(arguments: [["--help"], ["ingest", "--help"], ["help", "tail"], ["--version"], []])
    func `help and the version go to standard output`(arguments: [String]) async throws {
        let outcome = try await Program(arguments).outcome()
        #expect(outcome.status == 0 && outcome.errors.isEmpty && !outcome.output.isEmpty)
    }

    @Test(arguments: [
        ["tail"], ["tail", "--consumer", "c"], ["status"], ["status", "--watch"], ["close", "--instance", "p"],
        ["retire", "--instance", "p"],
    ])
    func `a database that is not there is 69, and is not made`(arguments: [String]) async throws {
        let folder = try TemporaryFolder()
        let outcome = try await Program(arguments + ["--database", folder.database]).outcome()
        #expect(outcome.status == 69 && outcome.errorLines.count == 1)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
    }

    @Test func `a missing folder, and a file that is no database, are 69`() async throws {
        let folder = try TemporaryFolder()
        let missing = try await Program.run("ingest", "--database", folder.path + "/no/events.db", "--instance", "p1")
        #expect(missing.status == 69 && missing.errorLines.count == 1)
        #expect(missing.errors.contains("there is no folder \(folder.path)/no: make it first"), "\(missing.errors)")
        let text = Data(String(repeating: "This is a text. ", count: 100).utf8)
        try text.write(to: URL(fileURLWithPath: folder.database))
        for arguments in [["ingest", "--instance", "p1"], ["tail"], ["tail", "--follow"], ["status"]] {
            let outcome = try await Program(arguments + ["--database", folder.database]).outcome()
            #expect(outcome.status == 69 && outcome.errorLines.count == 1, "\(arguments): \(outcome.errors)")
        }
        #expect(try Data(contentsOf: URL(fileURLWithPath: folder.database)) == text)
    }

    @Test(arguments: [
        "rediss://h/c?certificate=/nowhere&key=/nowhere", "rediss://h/c?trust=/nowhere",
        "tcp://h:1?certificate=/nowhere&key=/nowhere&trust=/nowhere",
    ])
    func `a certificate that cannot be read is 69`(way: String) async throws {
        let outcome = try await Program(["replication", "watch", "--replication", way]).outcome()
        #expect(outcome.status == 69 && outcome.errorLines.count == 1, "\(outcome.errors)")
    }

    private static let reading = [["tail"], ["tail", "--follow"], ["status"], ["audit", "--consumer", "c"]]

    @Test func `a folder where a database should be is called one`() async throws {
        let folder = try TemporaryFolder()
        for arguments in [["ingest", "--instance", "p1"]] + Self.reading {
            let outcome = try await Program(arguments + ["--database", folder.path]).outcome()
            #expect(outcome.status == 69 && outcome.errorLines.count == 1)
            #expect(outcome.errors.contains("it is a folder"), "\(arguments): \(outcome.errors)")
        }
    }

    @Test(.enabled(if: Surroundings.hasPlainUser, "needs setpriv"))
    func `a file that one may not read is called that, with its owner and mode`() async throws {
        let folder = try TemporaryFolder()
        _ = try await Program.run("ingest", "--database", folder.database, "--instance", "p1")
        chmod(folder.path, 0o755)
        chmod(folder.database, 0o000)
        for arguments in Self.reading {
            let outcome = try await Program.asPlainUser(arguments + ["--database", folder.database]).outcome()
            #expect(outcome.status == 69 && outcome.errorLines.count == 1)
            #expect(
                outcome.errors.contains("may not read \(folder.database): it belongs to user \(getuid()),"),
                "\(outcome.errors)")
            #expect(outcome.errors.contains("its mode is 0"))
        }
    }

    @Test(.enabled(if: Surroundings.hasPlainUser, "needs setpriv"))
    func `a folder that one may not enter is called that, and not an absence of the file`() async throws {
        let folder = try TemporaryFolder()
        let closed = folder.path + "/closed"
        try FileManager.default.createDirectory(atPath: closed + "/data", withIntermediateDirectories: true)
        _ = try await Program.run("ingest", "--database", closed + "/events.db", "--instance", "p1")
        chmod(folder.path, 0o755)
        chmod(closed, 0o600)
        for path in [closed + "/events.db", closed + "/data/events.db", closed + "/new.db"] {
            for arguments in [["ingest", "--instance", "p1"], ["close", "--instance", "p1"]] + Self.reading {
                let outcome = try await Program.asPlainUser(arguments + ["--database", path]).outcome()
                #expect(outcome.status == 69 && outcome.errorLines.count == 1)
                #expect(
                    outcome.errors.contains("may not enter \(closed): it belongs to user \(getuid()),"),
                    "\(arguments): \(outcome.errors)")
            }
        }
        chmod(closed, 0o700)
    }

    @Test(.enabled(if: Surroundings.hasPlainUser, "needs setpriv"))
    func `a folder in which one may make no file is called that`() async throws {
        let folder = try TemporaryFolder()
        chmod(folder.path, 0o555)
        let outcome = try await Program.asPlainUser(["ingest", "--instance", "p1", "--database", folder.database])
            .outcome()
        chmod(folder.path, 0o700)
        #expect(outcome.status == 69 && outcome.errorLines.count == 1)
        #expect(outcome.errors.contains("may not make a file in \(folder.path): "), "\(outcome.errors)")
    }

    @Test(.enabled(if: Surroundings.hasPlainUser, "needs setpriv"))
    func `a copy that one may read, in a folder where one may not write, is read`() async throws {
        let folder = try TemporaryFolder()
        _ = try await Program.run("ingest", "--database", folder.database, "--instance", "p1")
        let copy = folder.path + "/archive/events.db"
        let made = try await Program.shell(
            """
            cd "$(dirname "$1")" && mkdir archive && cp events.db archive/
            chmod 644 archive/events.db && chmod 555 archive .
            """, database: folder.database
        ).outcome()
        #expect(made.status == 0)
        let outcome = try await Program.asPlainUser(["status", "--database", copy]).outcome()
        chmod(folder.path, 0o700)
        chmod(folder.path + "/archive", 0o700)
        #expect(outcome.status == 0 && outcome.text.contains("nobody"), "\(outcome.errors)")
    }

    @Test(arguments: ["close", "retire"])
    func `an instance, or a stream, that is not there is 69`(command: String) async throws {
        let folder = try TemporaryFolder()
        _ = try await Program.run("ingest", "--database", folder.database, "--instance", "p1")
        let instance = try await Program.run(command, "--database", folder.database, "--instance", "p2")
        #expect(instance.status == 69)
        #expect(instance.errorLines == ["tidemark: stream events has no writer named p2"])
        let stream = try await Program.run(
            command, "--database", folder.database, "--instance", "p1", "--stream", "other")
        #expect(stream.status == 69)
        #expect(stream.errorLines.count == 1 && stream.errors.contains("no stream named other; there is events"))
    }
}

import Foundation
import TestSupport
import Testing
import TidemarkTesting

@testable import TidemarkCLI

/// What the program is started in.
@Suite struct SurroundingsTests {
    @Test(.enabled(if: Surroundings.mayMount, "needs a view of the file system of its own"))
    func `a program that cannot see its arguments says so, and does nothing`() async throws {
        let folder = try TemporaryFolder()
        for command in ["ingest --instance p1", "tail", "close --instance nobody", "--help"] {
            let program = try Program.shell(
                """
                exec unshare --map-root-user --mount --propagation private \
                    bash -c 'mount -t tmpfs none /proc && exec "$@"' x "$0" \(command) --database "$1"
                """, database: folder.database)
            program.write(generatedLines(0..<1)[0])
            program.endInput()
            let outcome = try await program.outcome()
            #expect(outcome.status == 71 && outcome.output.isEmpty)
            #expect(outcome.errorLines.count == 1 && outcome.errors.contains("arguments"), "\(outcome.errors)")
        }
        #expect(!FileManager.default.fileExists(atPath: folder.database))
    }

    //  The machine takes its own name for 127.0.1.1, as Debian's installer has it.
    @Test(
        .enabled(if: Surroundings.mayMount, "needs a view of the file system of its own"), arguments: [false, true])
    func `a host name that only this machine reaches is said, once, without --verbose`(hasTLS: Bool) async throws {
        let folder = try TemporaryFolder()
        let hosts = folder.path + "/hosts"
        try "127.0.0.1 localhost\n127.0.1.1 writer.tidemark.example\n"
            .write(toFile: hosts, atomically: true, encoding: .utf8)
        // Nobody else gets the port, and at the other address it is free.
        let listener = try LoopbackListener()
        var way = "tcp://writer.tidemark.example:\(listener.port)"
        if hasTLS {
            let paths = try TestCertificates(in: folder.path, authority: "ours").paths(for: "p1")
            way += "?certificate=\(paths.certificate)&key=\(paths.key)&trust=\(paths.trust)"
        }
        let ingest = try Program.shell(
            """
            exec unshare --map-root-user --mount --propagation private bash -c 'mount --bind "$3" /etc/hosts && \
                exec "$1" ingest --instance p1 --print --database "$2" --replication "$4"' x "$0" "$1" '\(hosts)' '\(way)'
            """, database: folder.database)
        try await eventually { ingest.errors.contains("other machines cannot reach") }
        ingest.write(generatedLines(0..<1)[0])
        ingest.endInput()
        let outcome = try await ingest.outcome()
        #expect(outcome.status == 0 && outcome.lines.count == 1)
        #expect(outcome.errorLines.count == 1, "\(outcome.errors)")
        #expect(outcome.errors.contains("writer.tidemark.example") && outcome.errors.contains("127.0.1.1"))
    }

    /// Starts the program at a terminal, which is of this program's making: all that is shown there is in its output.
    ///
    /// - Parameter input: what the shell makes its input of; empty: what is typed.
    private func atTerminal(_ arguments: String, database: String, input: String = "") throws -> Program {
        try Program.shell(
            "exec script -qec \"'$0' \(arguments) --database '$1' \(input)\" /dev/null", database: database)
    }

    #if os(Linux)
    /// What clears the line of progress, which the program does at its end at the latest.
    private static let clearing = "\u{1B}[K"

    @Test func `at a terminal a writer says that it reads what is typed, and nothing runs into that`() async throws {
        let folder = try TemporaryFolder()
        let ingest = try atTerminal("ingest --instance p1 --print", database: folder.database)
        try await eventually { ingest.lines.contains { $0.contains("reading events from the terminal") } }
        ingest.write(generatedLines(0..<1)[0])
        try await eventually { ingest.lines.contains { $0.contains("1\tevent-0") } }
        ingest.endInput()
        let outcome = try await ingest.outcome()
        #expect(outcome.status == 0 && !outcome.text.contains(Self.clearing), "\(outcome.text)")
    }

    @Test func `at a terminal a writer shows how far it is while it reads a file`() async throws {
        let folder = try TemporaryFolder()
        let ingest = try atTerminal("ingest --instance p1", database: folder.database, input: "< /dev/null")
        let outcome = try await ingest.outcome()
        #expect(outcome.status == 0 && outcome.text.contains(Self.clearing), "\(outcome.text)")
        #expect(Progress.text(count: 12, label: "persisted", elapsed: .seconds(4)) == "12 events persisted, 3 a second")
    }

    @Test func `at a terminal a reader says what it waits for`() async throws {
        let folder = try TemporaryFolder()
        let tail = try atTerminal("tail --follow", database: folder.database)
        try await eventually {
            tail.lines.contains { $0.contains("waiting: ") && $0.contains("there is no such file") }
        }
        _ = try await Program.run("ingest", "--database", folder.database, "--instance", "p1", "--stream", "event")
        try await eventually { tail.lines.contains { $0.contains("no stream named events; there is event") } }
    }
    #endif

    @Test func `that nobody can be reached is said, with the reason, and that it is over`() async throws {
        var options = RedisServerProcess.Options()
        options.password = "secret"
        let server = try await RedisServerProcess(options)
        server.kill()
        let folder = try TemporaryFolder()
        let url = "redis://:secret@127.0.0.1:\(server.port)/c"
        let tail = try Program(["tail", "--database", folder.database, "--follow", "--replication", url])
        let ingest = try Program([
            "ingest", "--database", folder.database, "--instance", "p1",
            "--replication", "redis://:wrong@127.0.0.1:\(server.port)/c",
        ])
        let place = "redis://127.0.0.1:\(server.port)/c"
        try await eventually { tail.errors.contains("nobody is heard over \(place): ") }
        #expect(tail.errors.contains("going on through the database"))
        try await server.start()
        try await eventually { tail.errors.contains("others are heard over \(place) now") }
        // Said once for as long as it lasts.
        #expect(tail.errors.components(separatedBy: "nobody is heard").count == 2)
        #expect(ingest.errors.components(separatedBy: "nobody is heard").count == 2)
        #expect(!tail.errors.contains("secret") && !ingest.errors.contains("wrong@"))
        ingest.endInput()
        #expect(try await ingest.outcome().status == 0)
        tail.send(SIGTERM)
        #expect(try await tail.outcome().status == 0)
    }

    enum UnusableSocket: CaseIterable {
        case inMissingFolder, longName, folderOfAnother, takenPort
    }

    @Test(arguments: UnusableSocket.allCases)
    func `a socket that cannot be used is said, once and with the reason, and events go through the database`(
        _ kind: UnusableSocket
    ) async throws {
        let folder = try TemporaryFolder()
        let listener = try LoopbackListener()
        let (way, reason): (String, String)
        switch kind {
        case .inMissingFolder: (way, reason) = ("unix:\(folder.path)/no/exchange", "make that first")
        case .longName:
            (way, reason) = ("unix:\(folder.path)/" + String(repeating: "x", count: 300), "File name too long")
        case .folderOfAnother:
            let path = getuid() == 0 ? folder.path + "/theirs" : "/usr"
            if getuid() == 0 { #expect(mkdir(path, 0o700) == 0 && chown(path, 54_321, 54_321) == 0) }
            (way, reason) = ("unix:" + path, "belongs to the user with number")
        case .takenPort: (way, reason) = ("tcp://127.0.0.1:\(listener.port)", "no connection yet")
        }
        _ = try await Program.run("ingest", "--database", folder.database, "--instance", "p0")
        let options = ["--database", folder.database, "--replication", way]
        let ingest = try Program(["ingest", "--instance", "p1", "--print"] + options)
        let tail = try Program(["tail", "--follow"] + options)
        for program in [ingest, tail] { try await eventually { program.errors.contains("nobody is heard over") } }
        ingest.write(generatedLines(0..<1)[0])
        try await ingest.waitForLines(1)
        try await tail.waitForLines(1)
        ingest.endInput()
        tail.send(SIGTERM)
        for program in [ingest, tail] {
            let outcome = try await program.outcome()
            #expect(outcome.status == 0 && outcome.errorLines.count == 1, "\(outcome.errors)")
            #expect(outcome.errors.contains(reason), "\(outcome.errors)")
            #expect(outcome.errors.contains("going on through the database"))
        }
    }

    @Test func `a link is worth a word only when it has not worked for two seconds`() {
        let start = ContinuousClock.now
        var notice = LinkNotice(now: start)
        #expect(notice.look(problem: "refused", now: start + .seconds(1.9)) == nil)
        #expect(notice.look(problem: "refused", now: start + .seconds(2)) == .isDown(reason: "refused"))
        #expect(notice.look(problem: nil, now: start + .seconds(9)) == nil)
        notice.isUp = true
        #expect(notice.look(problem: nil, now: start + .seconds(10)) == .isUp)
        // One server ends and another begins.
        notice.isUp = false
        #expect(notice.look(problem: "closed", now: start + .seconds(11)) == nil)
        notice.isUp = true
        #expect(notice.look(problem: nil, now: start + .seconds(11.5)) == nil)
        // It is there, and not allowed to publish.
        #expect(notice.look(problem: "NOPERM", now: start + .seconds(14)) == .isDown(reason: "NOPERM"))
        #expect(notice.look(problem: "NOPERM", now: start + .seconds(20)) == nil)
    }
}

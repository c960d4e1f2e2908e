import Foundation
import TestSupport
import Testing

@testable import TidemarkCLI
@testable import TidemarkTesting

@Suite struct DashboardOptionTests {
    @Test(arguments: [
        ["--host", "0.0.0.0"], ["--host", "192.0.2.1", "--token-file", "t"],
        ["--host", "::", "--certificate", "c", "--key", "k"],
        ["--certificate", "c"], ["--port", "0"], ["--port", "70000"],
    ])
    func `beyond loopback it wants TLS and a token, and other mistakes are told too`(arguments: [String]) async throws {
        let outcome = try await Program.run(["dashboard", "--database", "events.db"] + arguments)
        #expect(outcome.status == 64 && outcome.errorLines.count == 1, "\(outcome.errors)")
    }
}

#if Dashboard
@Suite struct DashboardTests {
    /// Starts it, and waits until it serves.
    private func serve(_ folder: TemporaryFolder, _ arguments: [String] = []) async throws -> (Program, port: Int) {
        let port = try LoopbackPort.free()
        let program = try Program(
            ["dashboard", "--database", folder.database, "--port", "\(port)"] + arguments)
        try await eventually { program.lines.contains { $0.contains("the live page is at ") } }
        return (program, port)
    }

    private func ask(_ port: Int, _ options: String, path: String = "/") async throws -> String {
        let program = try Program(
            executable: URL(filePath: "/bin/bash"),
            [
                "-c",
                "exec curl -sS -m 10 -o /dev/null -w '%{http_code} %{redirect_url}' \(options) http://127.0.0.1:\(port)\(path)",
            ])
        return try await program.outcome().text
    }

    @Test func `a port that is taken is told`() async throws {
        let folder = try TemporaryFolder()
        let (first, port) = try await serve(folder)
        let second = try await Program.run("dashboard", "--database", folder.database, "--port", "\(port)")
        #expect(second.status == 69 && second.errors.contains("the port is taken"), "\(second.errors)")
        first.send(SIGTERM)
        #expect(try await first.outcome().status == 0)
    }

    @Test func `a name of another page's is refused`() async throws {
        let folder = try TemporaryFolder()
        let (program, port) = try await serve(folder)
        #expect(try await ask(port, "").hasPrefix("200"))
        #expect(try await ask(port, "-H 'Host: evil.example'").hasPrefix("403"))
        #expect(try await ask(port, "-H 'Host: localhost:\(port)'").hasPrefix("200"))
        program.send(SIGTERM)
        #expect(try await program.outcome().status == 0)
    }

    @Test func `with a token only those look who know it`() async throws {
        let folder = try TemporaryFolder()
        let token = "0123456789abcdef0123"
        let file = folder.path + "/token"
        #expect(FileManager.default.createFile(atPath: file, contents: Data((token + "\n").utf8)))
        #expect(chmod(file, 0o644) == 0)
        let open = try await Program.run("dashboard", "--database", folder.database, "--token-file", file)
        #expect(open.status == 69 && open.errors.contains("chmod 600") && !open.errors.contains(token))
        #expect(chmod(file, 0o600) == 0)
        let (program, port) = try await serve(folder, ["--token-file", file])
        #expect(try await ask(port, "").hasPrefix("401"))
        #expect(try await ask(port, "-H 'Authorization: Bearer \(token)'").hasPrefix("200"))
        #expect(try await ask(port, "-H 'Authorization: Bearer \(token)x'").hasPrefix("401"))
        #expect(try await ask(port, "-b 'tidemark_dashboard=\(token)'", path: "/page.js").hasPrefix("200"))
        let redirected = try await ask(port, "", path: "/?token=\(token)")
        #expect(redirected.hasPrefix("303") && !redirected.contains(token))
        #expect(!program.lines.joined().contains(token) && !program.errors.contains(token))
        program.send(SIGTERM)
        #expect(try await program.outcome().status == 0)
    }

    @Test(.enabled(if: Browser.isInstalled, "there is no Chromium"))
    func `a browser shows a writer that is killed, one that is stopped, and a consumer that lags`() async throws {
        let folder = try TemporaryFolder()
        let (program, port) = try await serve(folder)
        let browser = try await Browser()
        defer { browser.end() }
        try await browser.go(to: "http://127.0.0.1:\(port)/")
        try await shows(browser, "missing") { $0.contains("there is no such file") }
        let writers = try ["p1", "p2", "p3"].map {
            try Program(["ingest", "--database", folder.database, "--instance", $0, "--print"])
        }
        for (number, writer) in writers.enumerated() {
            writer.write(bytes(generatedLines(number..<number + 1)))
            try await eventually { !writer.lines.isEmpty }
        }
        _ = try await Program.run("tail", "--database", folder.database, "--consumer", "mailer")
        try await shows(browser, "healthy") {
            $0.contains("Readers may read everything.") && $0.contains("mailer") && !$0.contains("gone")
        }
        writers[1].send(SIGKILL)
        try await shows(browser, "killed") { $0.contains("gone") }
        writers[2].send(SIGSTOP)
        try await shows(browser, "stopped") { $0.contains("late") || $0.contains("silent") }
        writers[0].write(bytes(generatedLines(10..<40)))
        try await eventually { writers[0].lines.count == 31 }
        try await shows(browser, "lagging") { $0.contains(#/mailer\s+30/#) }
        try await browser.show(width: 390, height: 844, isDark: true)
        try await shows(browser, "narrow-dark") { $0.contains("mailer") }

        writers[2].send(SIGKILL)
        writers[0].endInput()
        _ = try await writers[0].outcome()
        // The database goes away while the page is open, and comes back.
        for end in ["", "-wal", "-shm"] {
            try? FileManager.default.moveItem(atPath: folder.database + end, toPath: folder.database + ".away" + end)
        }
        try await shows(browser, "away") { $0.contains("The database cannot be read") }
        for end in ["-wal", "-shm", ""] {
            try? FileManager.default.moveItem(atPath: folder.database + ".away" + end, toPath: folder.database + end)
        }
        try await shows(browser, "back") { $0.contains("mailer") }
        program.send(SIGTERM)
        #expect(try await program.outcome().status == 0)
    }

    /// Waits until the page shows it, and takes a picture; pictures are kept where the environment says so, with how long it
    /// took, for people.
    private func shows(_ browser: Browser, _ name: String, _ isThere: (String) -> Bool) async throws {
        let began = ContinuousClock.now
        var text = ""
        try await eventually(name) {
            text = try await browser.text()
            return isThere(text)
        }
        let picture = try await browser.screenshot()
        #expect(picture.starts(with: [0x89, 0x50, 0x4E, 0x47]) && picture.count > 5_000)
        if let kept = ProcessInfo.processInfo.environment["TIDEMARK_SCREENSHOTS"] {
            try picture.write(to: URL(filePath: kept).appending(path: "\(name).png"))
            print("\(name): seen after \((ContinuousClock.now - began) / .milliseconds(1)) ms")
        }
    }
}
#endif

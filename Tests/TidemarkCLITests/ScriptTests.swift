import Foundation
import TestSupport
import Testing

@testable import TidemarkCLI

/// What the scripts of the project do with the program, and what they say of themselves.
@Suite struct ScriptTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    private func bash(_ script: String, _ arguments: String...) async throws -> Outcome {
        let program = try Program(
            executable: URL(fileURLWithPath: "/bin/bash"), ["-c", script, Self.root.path] + arguments)
        program.endInput()
        return try await program.outcome()
    }

    @Test func `the version is the newest of the changelog`() async throws {
        let changelog = try String(contentsOf: Self.root.appending(path: "CHANGELOG.md"), encoding: .utf8)
        let headings = changelog.split(separator: "\n").filter { $0.hasPrefix("## ") }.map { $0.dropFirst(3) }
        let newest = try #require(headings.first { $0.first?.isNumber == true }?.prefix { $0 != " " })
        let isUnreleased = headings.first == "Unreleased"
        let version = try await Program.run("--version")
        #expect(version.lines == ["\(newest)\(isUnreleased ? "+unreleased" : "")"])
    }

    @Test func `install puts the program, completions and a manual into a prefix`() async throws {
        let folder = try TemporaryFolder()
        let prefix = folder.database + "-prefix of it"
        let program = try Program.executable("tidemark").path
        for _ in 1...2 {
            let installed = try await bash("\"$0/scripts/install\" --program \"$1\" \"$2\"", program, prefix)
            #expect(installed.status == 0, "\(installed.errors)")
            #expect(
                installed.lines
                    == [
                        "bin/tidemark", "share/bash-completion/completions/tidemark",
                        "share/zsh/site-functions/_tidemark",
                        "share/fish/vendor_completions.d/tidemark.fish", "share/man/man1/tidemark.1",
                    ].map { prefix + "/" + $0 })
            let files = try FileManager.default.subpathsOfDirectory(atPath: prefix).filter { path in
                var isFolder: ObjCBool = false
                return FileManager.default.fileExists(atPath: prefix + "/" + path, isDirectory: &isFolder)
                    && !isFolder.boolValue
            }
            #expect(files.count == 5)
        }
        let version = try await bash("\"$1/bin/tidemark\" --version", prefix)
        #expect(version.lines == [TidemarkCommand.version])
        let completion = try await bash(
            "source \"$1/share/bash-completion/completions/tidemark\" && complete -p tidemark", prefix)
        #expect(completion.status == 0 && completion.lines.count == 1, "\(completion.errors)")

        let manual = try String(contentsOfFile: prefix + "/share/man/man1/tidemark.1", encoding: .utf8)
        let lines = manual.split(separator: "\n", omittingEmptySubsequences: false)
        // Every command that the help names, and those below it.
        let help = try await Program.run("--help")
        let commands = help.lines.drop { $0 != "SUBCOMMANDS:" }.compactMap {
            $0.wholeMatch(of: /\ \ ([a-z]+)( .*)?/)?.1
        }
        #expect(commands.count > 10)
        for command in commands + ["consumer move", "consumer parked", "replication watch"] {
            #expect(lines.contains(".SS tidemark \(command)"), "\(command)")
        }
        #expect(lines.contains(".B \\-\\-database <DB>") && lines.contains(".B TIDEMARK_STREAM"))
        // What roff would take for a request of its own is one that is known.
        let requests = Set(
            lines.filter { $0.hasPrefix(".") || $0.hasPrefix("'") }.compactMap { $0.split(separator: " ").first })
        #expect(
            requests.isSubset(of: [".TH", ".SH", ".SS", ".PP", ".TP", ".B", ".I", ".EX", ".EE", ".br"]), "\(requests)")
    }

    @Test(arguments: [
        ("", 64), ("--program", 64), ("a b", 64), ("--prefix", 64), ("--program /nowhere/tidemark /tmp/x", 69),
        ("--program /bin/false /dev/null/x", 1),
    ])
    func `install refuses a wrong call, and leaves nothing half`(arguments: String, status: Int32) async throws {
        let outcome = try await bash("\"$0/scripts/install\" \(arguments)")
        #expect(outcome.status == status)
        #expect(outcome.lines.isEmpty)
    }

    @Test func `a step says how long it took last time`() async throws {
        let folder = try TemporaryFolder()
        let place = folder.database + "-steps"
        let script = """
            set -euo pipefail
            mkdir -p "$1" && cd "$1"
            source "$0/scripts/steps"
            step one true
            step two true
            printf 'one\\t432\\n' > .step-times
            step one true
            step three false || echo "status $?"
            """
        let outcome = try await bash(script, place)
        #expect(
            outcome.lines.map { $0.replacing(/took [0-9]+ s$/, with: "took N s") } == [
                "== one", "== one took N s", "== two", "== two took N s", "== one (took 7 min 12 s last time)",
                "== one took N s", "== three", "status 1",
            ])
        let kept = try String(contentsOfFile: place + "/.step-times", encoding: .utf8)
        #expect(kept.wholeMatch(of: /one\t[0-9]{1,2}\n/) != nil)
    }

    @Test func `a build says how far it is, and shows what it wrote where it fails`() async throws {
        let folder = try TemporaryFolder()
        let place = folder.database + "-steps"
        let script = """
            set -euo pipefail
            mkdir -p "$1" && cd "$1"
            source "$0/scripts/steps"
            mkfifo pipe
            build() { echo "[7/99] Compiling A"; echo "[8/99] Compiling B"; cat pipe; }
            # It goes on when its progress was seen.
            PROGRESS_INTERVAL=0 built build | {
                while read -r line; do case $line in *": [8/99] compiled") break ;; esac; done
                echo "${line#*: }"
                echo end > pipe
                cat > rest
            }
            fail() { echo "error: no"; return 7; }
            built fail || echo "status $?"
            """
        let outcome = try await bash(script, place)
        #expect(outcome.lines == ["[8/99] compiled", "status 7"])
        #expect(outcome.errorLines == ["error: no"])
    }
}

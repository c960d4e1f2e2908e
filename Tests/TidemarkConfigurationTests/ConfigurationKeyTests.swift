import Foundation
import Testing
import Tidemark

/// What may be set, and what is said of the rest. All of it holds without the trait.
@Suite struct ConfigurationKeyTests {
    struct Row: Sendable {
        let key: String
        let kind: String
        let bounds: String
        /// Nil where there is none.
        let value: String?
    }

    /// The rows of the table in the article *Configuration*.
    static func rows() throws -> [Row] {
        let article = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "Sources/Tidemark/Tidemark.docc/Configuration.md")
        return try String(contentsOf: article, encoding: .utf8).split(separator: "\n").filter { $0.hasPrefix("| `") }
            .map { line in
                let cells = line.split(separator: "|", omittingEmptySubsequences: false).map {
                    $0.trimmingCharacters(in: CharacterSet(charactersIn: " `"))
                }
                return Row(key: cells[1], kind: cells[2], bounds: cells[3], value: cells[4].isEmpty ? nil : cells[4])
            }
    }

    @Test func `the article has every key, with its type and bounds`() throws {
        let rows = try Self.rows()
        #expect(rows.map(\.key) == ConfigurationKey.all.map(\.name))
        for (row, key) in zip(rows, ConfigurationKey.all) {
            let (kind, bounds) =
                switch key.kind {
                case .text: ("text", "")
                case .secret: ("secret", "")
                case .flag: ("flag", "")
                case .number(let bounds): ("number", "\(bounds.lowerBound) to \(bounds.upperBound)")
                case .duration(let bounds):
                    (
                        "duration",
                        "\(ConfigurationKey.text(bounds.lowerBound)) to \(ConfigurationKey.text(bounds.upperBound))"
                    )
                }
            #expect(row.kind == kind && row.bounds == bounds, "\(key)")
        }
    }

    @Test func `a variable has the words of its key in capitals`() {
        #expect(ConfigurationKey.named("log.silenceTimeout").variable == "TIDEMARK_LOG_SILENCE_TIMEOUT")
        #expect(ConfigurationKey.named("log.filteredIDs").variable == "TIDEMARK_LOG_FILTERED_IDS")
        #expect(ConfigurationKey.named("database").variable == "TIDEMARK_DATABASE")
    }

    @Test func `what is known, or in another scope, passes`() throws {
        try ConfigurationKey.check(ConfigurationKey.all.map(\.variable) + ["HOME", "TIDEMARKED", "LOG_SILENCE_TIMEOT"])
        try ConfigurationKey.check(ConfigurationKey.all.map { "shop.stream." + $0.name }, scope: "shop.stream")
    }

    @Test(arguments: [
        ("TIDEMARK_DATABSE", "TIDEMARK_DATABASE"), ("TIDEMARK_LOG_SILENCETIMEOUT", "TIDEMARK_LOG_SILENCE_TIMEOUT"),
        ("tidemark.log.silenceTimeot", "tidemark.log.silenceTimeout"), ("TIDEMARK_SMOKE", nil),
    ])
    func `a name that is not known is told, with the one that was meant`(name: String, meant: String?) {
        #expect(throws: InvalidConfiguration.unknownKey(name, suggestion: meant)) {
            try ConfigurationKey.check(["TIDEMARK_STREAM", name])
        }
    }

    @Test func `errors are sentences, and show no secret`() {
        let password = "postgres://user:geheim@host/db"
        let secret = ConfigurationKey.named("database").refused(password, "give a path")
        #expect(!"\(secret)".contains("geheim"))
        #expect(!String(reflecting: secret).contains("geheim"))
        #expect(
            "\(secret)"
                == "the value of the key database (in the environment: TIDEMARK_DATABASE) does not fit: give a path")
        #expect(
            "\(InvalidConfiguration.unknownKey("TIDEMARK_STREM", suggestion: "TIDEMARK_STREAM"))"
                == "there is no configuration key TIDEMARK_STREM: did you mean TIDEMARK_STREAM?")
    }
}

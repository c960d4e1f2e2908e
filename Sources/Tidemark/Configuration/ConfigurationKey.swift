/// A setting by its name, as it is in the environment and in files: the article *Configuration* has a table of all of them.
///
/// In the environment `log.silenceTimeout` is `TIDEMARK_LOG_SILENCE_TIMEOUT` where the reader's scope is `tidemark`.
public struct ConfigurationKey: Hashable, Sendable, CustomStringConvertible {
    /// What a value has to be.
    public enum Kind: Hashable, Sendable {
        /// Any text.
        case text
        /// A text that may hold a password: no error and no log shows it.
        case secret
        /// `true` or `false`.
        case flag
        /// A whole number within these bounds.
        case number(ClosedRange<Int>)
        /// A whole number and its unit (`ms`, `s`, `min`, `h`, `d`), within these bounds.
        case duration(ClosedRange<Duration>)
    }

    /// Without the scope of the reader: `log.silenceTimeout`.
    public let name: String
    /// What a value of it has to be.
    public let kind: Kind

    private init(_ name: String, _ kind: Kind) {
        self.name = name
        self.kind = kind
    }

    /// Its name.
    public var description: String { name }

    /// The variable of the environment that has it, where the scope is `tidemark`.
    public var variable: String { "TIDEMARK_" + Self.words(name) }

    /// All of them: those of the database and the stream first, then those of each part by its prefix.
    public static let all: [ConfigurationKey] = [
        .init("database", .secret), .init("direct", .secret), .init("namespace", .text), .init("stream", .text),
        .init("instance", .text), .init("replication", .secret),
        .init("log.hasKeyIndex", .flag),
        .init("log.heartbeatInterval", .duration(.milliseconds(100) ... .seconds(60))),
        .init("log.reconcileInterval", .duration(.milliseconds(100) ... .seconds(60))),
        .init("log.stallInterval", .duration(.milliseconds(10) ... .seconds(10))),
        .init("log.closesSilentWriters", .flag),
        .init("log.silenceTimeout", .duration(.seconds(1) ... .seconds(3600))),
        .init("log.retirementTimeout", .duration(.seconds(10) ... .seconds(30 * 86_400))),
        .init("log.shutDownTimeLimit", .duration(.milliseconds(100) ... .seconds(600))),
        .init("log.payloadBytes", .number(1...(256 << 20))),
        .init("log.waitingEvents", .number(1...1_000_000)), .init("log.waitingBytes", .number(1024...(4 << 30))),
        .init("log.groupEvents", .number(1...10_000)), .init("log.groupBytes", .number(1024...(1 << 30))),
        .init("log.batchEvents", .number(1...100_000)), .init("log.batchBytes", .number(1024...(1 << 30))),
        .init("log.filteredIDs", .number(1...10_000_000)), .init("log.announcedRows", .number(0...10_000)),
        .init("log.speaksBesideOthers", .flag),
        .init("processor.concurrency", .number(1...1024)),
        .init("processor.partitions", .number(1...PartitionHash.mostPartitions)),
        .init("processor.maximumAttempts", .number(1...1000)),
        .init("processor.shortestDelay", .duration(.milliseconds(1) ... .seconds(3600))),
        .init("processor.longestDelay", .duration(.milliseconds(1) ... .seconds(86_400))),
        .init("processor.timeLimit", .duration(.milliseconds(1) ... .seconds(86_400))),
        .init("processor.silenceTimeout", .duration(.seconds(1) ... .seconds(3600))),
        .init("processor.checkpointInterval", .duration(.milliseconds(1) ... .seconds(10))),
        .init("processor.shutDownTimeLimit", .duration(.milliseconds(100) ... .seconds(600))),
        .init("sqlite.createsDatabase", .flag), .init("sqlite.readOnly", .flag),
        .init("sqlite.busyTimeout", .duration(.milliseconds(10) ... .seconds(600))),
        .init("sqlite.readTimeout", .duration(.milliseconds(10) ... .seconds(600))),
        .init("sqlite.fairnessTimeout", .duration(.milliseconds(10) ... .seconds(60))),
        .init("sqlite.formerNamesKeptFor", .duration(.seconds(60) ... .seconds(3650 * 86_400))),
        .init("postgres.createsTables", .flag), .init("postgres.endsStuckTransactions", .flag),
        .init("postgres.connections", .number(1...128)), .init("postgres.waitingLimit", .number(1...100_000)),
        .init("postgres.waitLimit", .duration(.milliseconds(10) ... .seconds(600))),
        .init("postgres.callLimit", .duration(.milliseconds(10) ... .seconds(3600))),
        .init("postgres.stopLimit", .duration(.milliseconds(10) ... .seconds(600))),
        .init("postgres.connectLimit", .duration(.seconds(2) ... .seconds(600))),
        .init("postgres.lockLimit", .duration(.milliseconds(10) ... .seconds(600))),
        .init("postgres.formerNamesKeptFor", .duration(.seconds(60) ... .seconds(3650 * 86_400))),
    ]

    private static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })

    /// - Precondition: there is such a key.
    package static func named(_ name: String) -> ConfigurationKey {
        guard let key = byName[name] else { preconditionFailure("there is no configuration key \(name)") }
        return key
    }

    /// Looks for names that are in the scope of these keys and are none of them, so that one that is misspelled does not count
    /// for nothing in silence: a reader of a configuration asks for the keys that it knows, and cannot see others.
    ///
    /// - Parameters:
    ///   - names: those of the environment (`ProcessInfo.processInfo.environment.keys`) or of a file, with their scope.
    ///     Names outside of the scope are not looked at.
    ///   - scope: that of the reader.
    /// - Throws: ``InvalidConfiguration/unknownKey(_:suggestion:)`` for the first of them in the order of names.
    public static func check(
        _ names: some Sequence<String>, scope: String = "tidemark"
    ) throws(InvalidConfiguration) {
        let scope = words(scope) + "_"
        let known = Set(all.map { words($0.name) })
        for name in names.sorted() {
            let words = words(name)
            guard words.hasPrefix(scope), !known.contains(String(words.dropFirst(scope.count))) else { continue }
            let nearest = Spelling.nearest(to: String(words.dropFirst(scope.count)), among: known.sorted())
            // As the name itself is written: in capitals, or as a key.
            let isVariable = !name.contains(where: \.isLowercase)
            let suggestion = all.first { Self.words($0.name) == nearest }.map { key in
                isVariable ? scope + Self.words(key.name) : String(name.prefix(scope.count)) + key.name
            }
            throw .unknownKey(name, suggestion: suggestion)
        }
    }

    /// As the environment spells it: `log.silenceTimeout` is `LOG_SILENCE_TIMEOUT`.
    static func words(_ name: String) -> String {
        var words = ""
        var isAfterLowercase = false
        for character in name {
            if isAfterLowercase, character.isUppercase { words += "_" }
            isAfterLowercase = character.isLowercase
            words += character.isLetter || character.isNumber ? character.uppercased() : "_"
        }
        return words
    }
}

/// Why a configuration cannot be used. Its description is a sentence for the author of the configuration, and shows no value of a
/// key that may hold a password.
public enum InvalidConfiguration: Error, Hashable, Sendable, CustomStringConvertible {
    /// There is no value, and there is no default.
    case missing(ConfigurationKey)
    /// The value does not fit.
    ///
    /// - `value`: the text; nil where it may be a secret, or is of a kind that has none.
    case invalidValue(ConfigurationKey, value: String?, problem: String)
    /// A name in the scope of these keys is none of them.
    case unknownKey(String, suggestion: String?)

    /// What is wrong with which key, and never its value where that may be a secret.
    public var description: String {
        switch self {
        case .missing(let key):
            "there is no value for the key \(key) (in the environment: \(key.variable))"
        case .invalidValue(let key, let value, let problem):
            "the value \(value.map { "\"\($0.prefix(64))\" " } ?? "")of the key \(key) (in the environment: \(key.variable)) "
                + "does not fit: \(problem)"
        case .unknownKey(let name, let suggestion):
            "there is no configuration key \(name.prefix(128))" + (suggestion.map { ": did you mean \($0)?" } ?? "")
        }
    }
}

extension ConfigurationKey {
    /// The time that a text says, as in `250ms`, `5s`, `10min`, `2h` and `30d`.
    ///
    /// - Throws: ``InvalidConfiguration/invalidValue(_:value:problem:)``.
    func duration(_ text: String) throws(InvalidConfiguration) -> Duration {
        guard case .duration(let bounds) = kind else { preconditionFailure("\(name) is no duration") }
        // Nine digits of days are far from the longest duration.
        guard let match = text.wholeMatch(of: /([0-9]{1,9})(ms|s|min|h|d)/), let number = Int64(match.1) else {
            throw refused(
                text, "give a whole number and its unit, ms, s, min, h or d, as in \(Self.text(bounds.lowerBound))")
        }
        let seconds: [String: Int64] = ["s": 1, "min": 60, "h": 3600, "d": 86_400]
        let duration: Duration = seconds[String(match.2)].map { .seconds(number * $0) } ?? .milliseconds(number)
        guard bounds.contains(duration) else { throw refused(text, problem) }
        return duration
    }

    /// - Throws: ``InvalidConfiguration/invalidValue(_:value:problem:)``.
    func check(_ number: Int) throws(InvalidConfiguration) -> Int {
        guard case .number(let bounds) = kind else { preconditionFailure("\(name) is no number") }
        guard bounds.contains(number) else { throw refused("\(number)", problem) }
        return number
    }

    /// The error for a value of this key, which shows no secret.
    package func refused(_ value: String?, _ problem: String) -> InvalidConfiguration {
        .invalidValue(self, value: kind == .secret ? nil : value, problem: problem)
    }

    /// What a value has to be, as a request.
    var problem: String {
        switch kind {
        case .text, .secret: "give a text"
        case .flag: "give true or false"
        case .number(let bounds): "give a whole number from \(bounds.lowerBound) to \(bounds.upperBound)"
        case .duration(let bounds):
            "give a time from \(Self.text(bounds.lowerBound)) to \(Self.text(bounds.upperBound))"
        }
    }

    /// As ``duration(_:)`` reads it.
    package static func text(_ duration: Duration) -> String {
        let milliseconds = Int64(duration / .milliseconds(1))
        for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000)] as [(String, Int64)]
        where milliseconds != 0 && milliseconds % size == 0 {
            return "\(milliseconds / size)\(unit)"
        }
        return "\(milliseconds)ms"
    }
}

/// Finds the name that was meant.
package enum Spelling {
    /// The name that takes the fewest changes, where these are few.
    package static func nearest(to name: String, among known: [String]) -> String? {
        let nearest = known.map { ($0, distance(name, $0)) }.min { $0.1 < $1.1 }
        guard let (likely, changes) = nearest, changes <= 2, changes < likely.count / 2 + 1 else { return nil }
        return likely
    }

    /// How many characters have to be put in, taken out or replaced, at least (V. I. Levenshtein, 1965).
    package static func distance(_ first: String, _ second: String) -> Int {
        let second = Array(second)
        var row = Array(0...second.count)
        for (index, character) in first.enumerated() {
            var diagonal = row[0]
            row[0] = index + 1
            for column in second.indices {
                let replaced = diagonal + (second[column] == character ? 0 : 1)
                diagonal = row[column + 1]
                row[column + 1] = min(replaced, row[column] + 1, diagonal + 1)
            }
        }
        return row[second.count]
    }
}

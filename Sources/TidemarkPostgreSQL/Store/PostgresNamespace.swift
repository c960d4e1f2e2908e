/// The name of the namespace (the "schema" of SQL) that Tidemark's tables and functions are in: 1 to 40 lowercase letters,
/// digits and underscores, not beginning with a digit or `pg_`.
public struct PostgresNamespace: Hashable, Sendable, CustomStringConvertible {
    /// The name, which needs no quotes in SQL.
    public let rawValue: String

    /// - Throws: ``InvalidPostgresNamespace``.
    public init(validating name: String) throws(InvalidPostgresNamespace) {
        func isLetter(_ byte: UInt8) -> Bool {
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || byte == UInt8(ascii: "_")
        }
        let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
        guard let first = name.utf8.first, name.utf8.count <= 40, isLetter(first), !name.hasPrefix("pg_"),
            name.utf8.allSatisfy({ isLetter($0) || digits.contains($0) })
        else { throw InvalidPostgresNamespace(text: name) }
        rawValue = name
    }

    public var description: String { rawValue }

    /// As an identifier in a statement.
    var quoted: String { "\"\(rawValue)\"" }

    /// A function of the namespace, in a statement.
    func function(_ name: String) -> String { "\(quoted).\(name)" }
}

extension PostgresNamespace: ExpressibleByStringLiteral {
    /// Traps when the name is not valid.
    public init(stringLiteral name: String) {
        do throws(InvalidPostgresNamespace) {
            try self.init(validating: name)
        } catch {
            preconditionFailure("\(error)")
        }
    }
}

/// A text that should have been the name of a namespace.
public struct InvalidPostgresNamespace: Error, Hashable, Sendable, CustomStringConvertible {
    /// What should have been one.
    public let text: String

    public var description: String {
        "\"\(text.prefix(64))\" is not the name of a namespace: 1 to 40 lowercase letters, digits and underscores, not "
            + "beginning with a digit or pg_"
    }
}

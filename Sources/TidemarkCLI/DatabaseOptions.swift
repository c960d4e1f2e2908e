import ArgumentParser
import Foundation
import Tidemark
import TidemarkPostgreSQL
import TidemarkSQLite

/// Where the database is.
enum DatabaseLocation: Hashable, Sendable {
    case sqlite(path: String)
    /// - Parameters:
    ///   - direct: the server itself, where the address is that of a pooler.
    case postgreSQL(PostgresAddress, direct: PostgresAddress?, namespace: PostgresNamespace)

    private static let schemes = ["postgres://", "postgresql://"]

    /// - Throws: `ValidationError`, which never holds a password.
    init(parsing text: String, direct: String? = nil, namespace: String? = nil) throws {
        if Self.isPostgreSQL(text) {
            do {
                self = .postgreSQL(
                    try PostgresAddress(parsing: text), direct: try direct.map(Self.directAddress),
                    namespace: try PostgresNamespace(validating: namespace ?? "tidemark"))
            } catch let error as PostgresError {
                throw ValidationError("\(error)")
            } catch let error as InvalidPostgresNamespace {
                throw ValidationError("\(error)")
            }
            return
        }
        guard direct == nil, namespace == nil else {
            throw ValidationError("--direct and --namespace go with postgres://…")
        }
        let path = text.hasPrefix("sqlite:") ? String(text.dropFirst("sqlite:".count)) : text
        if let scheme = text.firstMatch(of: /^([A-Za-z][A-Za-z0-9+.-]*):\/\//)?.1, scheme != "sqlite" {
            // Not the rest, which may hold a password.
            throw ValidationError(
                "no database is at \(scheme)://…: give the path of a file, sqlite:PATH or postgres://…")
        }
        if path.allSatisfy(\.isWhitespace) { throw ValidationError("give the path of a file, or postgres://…") }
        self = .sqlite(path: path)
    }

    static func isPostgreSQL(_ text: String) -> Bool { schemes.contains { text.hasPrefix($0) } }

    static func directAddress(_ text: String) throws -> PostgresAddress {
        guard isPostgreSQL(text) else { throw ValidationError("--direct takes postgres://…") }
        return try PostgresAddress(parsing: text)
    }
}

/// Which stream of which database, the same for all commands.
///
/// The database is not parsed as an argument but in ``validate()``: what is wrong with an argument is shown with the
/// argument, and there may be a password in this one.
struct DatabaseOptions: ParsableArguments {
    @Option(
        name: .customLong("database"),
        help: ArgumentHelp(
            """
            The database: the path of a file, sqlite:PATH, or postgres://[user@]host[:port]/database (default: \
            TIDEMARK_DATABASE of the environment). A password is best left to the environment or the password file, as \
            others see the arguments of a program.
            """,
            valueName: "DB"))
    private var databaseArgument: String?

    @Option(
        name: .customLong("direct"),
        help: ArgumentHelp(
            """
            Where the database is behind a connection pooler: the server's own postgres://… (default: TIDEMARK_DIRECT of \
            the environment).
            """, valueName: "DB"))
    private var directArgument: String?

    @Option(
        name: .customLong("namespace"),
        help: ArgumentHelp(
            """
            The namespace of the tables in PostgreSQL (default: TIDEMARK_NAMESPACE of the environment, or tidemark).
            """, valueName: "NAME"))
    private var namespaceArgument: String?

    @Option(
        name: .customLong("stream"),
        help: ArgumentHelp(
            "The stream in the database (default: TIDEMARK_STREAM of the environment, or events).", valueName: "NAME"),
        transform: StreamName.init(validating:))
    private var streamArgument: StreamName?

    @Flag(help: "Show warnings of the library on standard error.")
    var verbose = false

    mutating func validate() throws {
        try ProgramEnvironment.check()
        if streamArgument == nil { _ = try ProgramEnvironment.parsed("stream", StreamName.init(validating:)) }
        _ = try location
    }

    /// The stream. What the environment says was looked at in ``validate()``.
    var stream: StreamName {
        streamArgument ?? (try? ProgramEnvironment.parsed("stream", StreamName.init(validating:))) ?? "events"
    }

    /// The environment gives the values of options that were left out. One that is for PostgreSQL counts for nothing with a file:
    /// it may be there for other calls.
    ///
    /// - Throws: `ValidationError`, or ``InvalidVariable``.
    var location: DatabaseLocation {
        get throws {
            if let databaseArgument {
                guard DatabaseLocation.isPostgreSQL(databaseArgument) else {
                    return try DatabaseLocation(
                        parsing: databaseArgument, direct: directArgument, namespace: namespaceArgument)
                }
                return try location(databaseArgument)
            }
            guard let text = ProgramEnvironment.value("database") else {
                throw ValidationError("give --database DB, or set TIDEMARK_DATABASE in the environment")
            }
            return try ProgramEnvironment.naming("database", of: text) { try location($0) }
        }
    }

    private func location(_ text: String) throws -> DatabaseLocation {
        guard DatabaseLocation.isPostgreSQL(text) else {
            return try DatabaseLocation(parsing: text, direct: directArgument, namespace: namespaceArgument)
        }
        // Each for itself, so that an error names the variable that it is about.
        func checked(_ key: String, _ parse: (String) throws -> Void) throws -> String? {
            try ProgramEnvironment.value(key).map { text in
                try ProgramEnvironment.naming(key, of: text) { try parse($0) }
                return text
            }
        }
        let direct = try directArgument ?? checked("direct") { _ = try DatabaseLocation.directAddress($0) }
        let namespace = try namespaceArgument ?? checked("namespace") { _ = try PostgresNamespace(validating: $0) }
        return try DatabaseLocation(parsing: text, direct: direct, namespace: namespace)
    }

    /// What `body` does; where it throws that there is no such stream, the error names those that are there.
    func namingStreams<Value>(of store: any ProgramStore, _ body: () async throws -> Value) async throws -> Value {
        do {
            return try await body()
        } catch TidemarkError.unknownStream {
            throw await unknownStream(in: store)
        }
    }

    /// That the stream is not there, and which are.
    func unknownStream(in store: any ProgramStore) async -> UnknownStream {
        UnknownStream(stream: stream, store: store.description, known: (try? await store.streams(limit: 20)) ?? [])
    }
}

/// There is no such stream in the database; whoever has mistyped its name sees the right one.
struct UnknownStream: ProgramError {
    let stream: StreamName
    let store: String
    let known: [StreamName]

    var status: ExitStatus { .unavailable }

    var description: String {
        let others =
            known.isEmpty
            ? "nor any other"
            : "there \(known.count == 1 ? "is" : "are") " + known.map(\.rawValue).joined(separator: ", ")
        return "\(store) has no stream named \(stream); \(others)"
    }
}

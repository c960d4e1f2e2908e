import ArgumentParser
import Foundation
import Tidemark
import TidemarkSQLite

/// Where the database is.
enum DatabaseLocation: Hashable, Sendable {
    case sqlite(path: String)

    /// - Throws: `ValidationError`.
    init(parsing text: String) throws {
        if text.hasPrefix("postgres://") || text.hasPrefix("postgresql://") {
            throw ValidationError("this build has no PostgreSQL store")
        }
        let path = text.hasPrefix("sqlite:") ? String(text.dropFirst("sqlite:".count)) : text
        if path.allSatisfy(\.isWhitespace) { throw ValidationError("give the path of a file") }
        self = .sqlite(path: path)
    }
}

/// Which stream of which database, the same for all commands.
struct DatabaseOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("The database: a path, or sqlite:PATH.", valueName: "DB"),
        transform: DatabaseLocation.init(parsing:))
    var database: DatabaseLocation

    @Option(
        help: ArgumentHelp("The stream in the database (default: events).", valueName: "NAME"),
        transform: StreamName.init(validating:))
    var stream: StreamName = "events"

    @Flag(help: "Show warnings of the library on standard error.")
    var verbose = false

    /// The path of the database file.
    var path: String {
        switch database {
        case .sqlite(let path): path
        }
    }

    /// What `body` does; where it throws that there is no such stream, the error names those that are there.
    func namingStreams<Value>(of store: SQLiteEventStore, _ body: () async throws -> Value) async throws -> Value {
        do {
            return try await body()
        } catch TidemarkError.unknownStream {
            throw await unknownStream(in: store)
        }
    }

    /// That the stream is not there, and which are.
    func unknownStream(in store: SQLiteEventStore) async -> UnknownStream {
        UnknownStream(stream: stream, store: store.path, known: (try? await store.streams(limit: 20)) ?? [])
    }

    /// Opens the database for a writer, and makes it where that is wanted.
    func openForWriting(creating: Bool) async throws -> SQLiteEventStore {
        try await SQLiteEventStore.open(
            path: path, configuration: SQLiteConfiguration(createsDatabase: creating, logger: StoreWarnings.logger))
    }

    /// Opens a database that is there only for reading: nothing is made beside it.
    func openReadOnly() async throws -> SQLiteEventStore {
        try await SQLiteEventStore.open(
            path: path, configuration: SQLiteConfiguration(createsDatabase: false, readOnly: true))
    }

    /// Opens a database that is there for a reader, which closes writers that are silent where it may. One that this
    /// process may not write is opened all the same, only for reading.
    func openForReading() async throws -> (store: SQLiteEventStore, isReadOnly: Bool) {
        if mayWrite {
            do {
                return (try await openForWriting(creating: false), false)
            } catch TidemarkError.readOnly {
                // A file system that is mounted read-only says so only now.
            }
        }
        return (try await openReadOnly(), true)
    }

    /// Whether it would be possible to write: SQLite makes files beside the database for that, and the library has a
    /// folder there. Whoever reads does not make that folder for somebody else.
    private var mayWrite: Bool {
        var information = stat()
        guard stat(path, &information) == 0 else { return true }
        let file = URL(fileURLWithPath: path).resolvingSymlinksInPath()
        let beside = file.path + "-tidemark"
        let mayUseFolder =
            access(beside, F_OK) == 0 ? access(beside, R_OK | W_OK | X_OK) == 0 : information.st_uid == geteuid()
        return mayUseFolder && access(path, W_OK) == 0 && access(file.deletingLastPathComponent().path, W_OK) == 0
    }
}

extension SQLiteEventStore {
    /// Runs `body` and closes the store, however that ended: the last one out leaves one whole file.
    func closed<Value>(
        after body: nonisolated(nonsending) () async throws -> Value
    ) async throws -> Value {
        let result = await Result.catching(body)
        await close()
        return try result.get()
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

import Foundation
import Tidemark
import TidemarkPostgreSQL
import TidemarkReplication
import TidemarkSQLite

/// A database that the program has opened, whichever engine it has: what commands need of it beside what every store does.
protocol ProgramStore: PrunableStore, ProcessorStore, KeyIndexStore, ForgettingStore {
    /// The names of the streams that are there, in order.
    func streams(limit: Int) async throws -> [StreamName]
    /// How processes that share the database hear each other where nothing else is named.
    func automaticTransport(for stream: StreamName) throws -> ToldTransport
}

extension ProgramStore {
    /// Runs `body` and closes the store, however that ended: the last one out leaves one whole file.
    func closed<Value>(
        after body: nonisolated(nonsending) () async throws -> Value
    ) async throws -> Value {
        let result = await Result.catching(body)
        await close()
        return try result.get()
    }
}

extension SQLiteEventStore: ProgramStore {
    /// - Throws: `SocketFolderError` when the folder of the database cannot be entered.
    func automaticTransport(for stream: StreamName) throws -> ToldTransport {
        let transport = try UnixSocketTransport(besideDatabase: path)
        return ToldTransport(transport, place: "the socket beside the database") {
            transport.lastProblem.map { "\($0)" }
        }
    }
}

extension PostgreSQLEventStore: ProgramStore {
    func automaticTransport(for stream: StreamName) throws -> ToldTransport {
        let transport = PostgresTransport(self, stream: stream)
        return ToldTransport(transport, place: "LISTEN and NOTIFY") { transport.failure.map { "\($0)" } }
    }
}

/// The one place where the program opens databases.
extension DatabaseOptions {
    /// How a database is opened.
    fileprivate enum Opening {
        /// By a writer, which makes what is missing.
        case making
        /// By whoever takes part, in what is there.
        case takingPart
        /// To change or look at something once.
        case once(isReadOnly: Bool)
    }

    /// Opens the database for a writer, and makes it, or its schema, where it is missing.
    func openForWriting() async throws -> any ProgramStore { try await open(.making) }

    /// Opens a database that is there, to change something once.
    func openForChange() async throws -> any ProgramStore { try await open(.once(isReadOnly: false)) }

    /// Opens a database that is there only for reading: nothing is made beside it.
    func openReadOnly() async throws -> any ProgramStore { try await open(.once(isReadOnly: true)) }

    /// Opens it like that for one look, and closes it whatever happens.
    func readOnce<Value: Sendable>(
        _ look: @Sendable (any ProgramStore) async throws -> Value
    ) async throws -> Value {
        let store = try await openReadOnly()
        return try await store.closed { try await namingStreams(of: store) { try await look(store) } }
    }

    /// Opens a database that is there for a reader, which closes writers that are silent where it may. A file that this
    /// process may not write is opened all the same, only for reading.
    func openForReading() async throws -> (store: any ProgramStore, isReadOnly: Bool) {
        if try mayWrite {
            do {
                return (try await open(.takingPart), false)
            } catch TidemarkError.readOnly {
                // A file system that is mounted read-only says so only now.
            }
        }
        return (try await openReadOnly(), true)
    }

    private func open(_ opening: Opening) async throws -> any ProgramStore {
        switch try location {
        case .sqlite(let path):
            var configuration = SQLiteConfiguration(createsDatabase: false, logger: ShownLog.ofStore)
            switch opening {
            case .making: configuration = SQLiteConfiguration(createsDatabase: true, logger: ShownLog.ofStore)
            case .once(isReadOnly: true): configuration = SQLiteConfiguration(createsDatabase: false, readOnly: true)
            case .takingPart, .once: break
            }
            return try await SQLiteEventStore.open(path: path, configuration: configuration)
        case .postgreSQL(let address, let direct, let namespace):
            let (configuration, options) = Self.setUp(address, direct, namespace, opening)
            return try await PostgreSQLEventStore.open(configuration, options: options)
        }
    }

    fileprivate static func setUp(
        _ address: PostgresAddress, _ direct: PostgresAddress?, _ namespace: PostgresNamespace, _ opening: Opening
    ) -> (PostgresConfiguration, PostgreSQLStoreOptions) {
        var configuration = PostgresConfiguration(address)
        configuration.directAddress = direct
        var options = PostgreSQLStoreOptions()
        options.namespace = namespace
        switch opening {
        case .making: break
        case .takingPart: options.creates = false
        case .once:
            options.creates = false
            options.showsLife = false
        }
        return (configuration, options)
    }

    /// Whether a database that could not be opened may only be new, or out of reach for now: not there yet, or without its
    /// schema.
    func outlook() async throws -> StoreOutlook {
        switch try location {
        case .sqlite(let path): return access(path, R_OK) == 0 || errno == ENOENT ? .mayCome : .needsSomebody
        case .postgreSQL(let address, let direct, let namespace):
            let (configuration, options) = Self.setUp(address, direct, namespace, .takingPart)
            return await PostgreSQLEventStore.outlook(configuration, options: options)
        }
    }

    /// Whether it would be possible to write: SQLite makes files beside the database for that, and the library has a
    /// folder there. Whoever reads does not make that folder for somebody else.
    private var mayWrite: Bool {
        get throws {
            guard case .sqlite(let path) = try location else { return true }
            var information = stat()
            guard stat(path, &information) == 0 else { return true }
            let file = URL(fileURLWithPath: path).resolvingSymlinksInPath()
            let beside = file.path + "-tidemark"
            let mayUseFolder =
                access(beside, F_OK) == 0 ? access(beside, R_OK | W_OK | X_OK) == 0 : information.st_uid == geteuid()
            return mayUseFolder && access(path, W_OK) == 0
                && access(file.deletingLastPathComponent().path, W_OK) == 0
        }
    }
}

extension DatabaseLocation {
    /// The same with the whole path of a file: others read it elsewhere.
    var absolute: DatabaseLocation {
        guard case .sqlite(let path) = self else { return self }
        return .sqlite(path: URL(fileURLWithPath: path).standardizedFileURL.path)
    }

    /// Opens the database for a stream to leave it, or to come to it.
    func openForMove(creates: Bool) async throws -> any ProgramStore & MovableStore {
        switch self {
        case .sqlite(let path):
            let configuration = SQLiteConfiguration(createsDatabase: creates, logger: ShownLog.ofStore)
            return try await SQLiteEventStore.open(path: path, configuration: configuration)
        case .postgreSQL(let address, let direct, let namespace):
            let (configuration, options) = DatabaseOptions.setUp(
                address, direct, namespace, creates ? .making : .once(isReadOnly: false))
            return try await PostgreSQLEventStore.open(configuration, options: options)
        }
    }
}

public import Logging
import Synchronization
public import Tidemark

/// How a store uses its database.
public struct PostgreSQLStoreOptions: Sendable {
    /// The namespace of Tidemark's tables.
    public var namespace: PostgresNamespace = "tidemark"
    /// Whether the tables are made where they are missing.
    public var creates = true
    /// For how long joining, closing and the like wait for a transaction that stands in the way.
    public var lockLimit: Duration = .seconds(3)
    /// Whether such a transaction is ended then, where the role may do that.
    public var endsStuckTransactions = true
    /// Whether the direct connection is made when the store is opened: the sign of life of this process, over which it also
    /// listens. A program that only looks at a database, or changes something by hand, does without, also behind a pooler.
    public var showsLife = true
    /// For how long the name of a writer that left is kept.
    public var formerNamesKeptFor: Duration = .seconds(7 * 86_400)

    /// The defaults.
    public init() {}
}

/// Keeps events in a PostgreSQL database, which several machines share.
///
/// The promises are kept by functions in the database, whoever calls them: `DESIGN.md` beside this module has the tables, the
/// locks and what each function guarantees.
public final class PostgreSQLEventStore: EventStore {
    let pool: PostgresPool
    let options: PostgreSQLStoreOptions
    let errors: StoreErrors
    let names = WriterNames()
    /// Streams that were seen to have an index of keys: a hint, which the database judges in each transaction.
    let keyedStreams = Mutex<Set<StreamName>>([])
    private let direct: DirectConnection
    /// What is said over the direct connection, by stream: all logs of a store hear each other there.
    private let channels = Mutex<[StreamName: NotificationChannel]>([:])
    private let logger: Logger
    /// Set once the server was seen to begin transactions with another isolation level, as roles may have it.
    private let namesIsolation = Atomic(false)
    /// How many heartbeats there were: with some of them names are forgotten.
    let heartbeats = Atomic(0)

    /// The server, the database and the namespace, as one would name them in a sentence.
    public let description: String

    /// While the minimum stands still, 50 ms: then a writer that died is passed within two looks.
    public var standstillInterval: Duration { .milliseconds(50) }

    var namespace: PostgresNamespace { options.namespace }

    /// The advisory lock that the process's direct connection holds; nil while there is none.
    var lifeKey: Int64? { direct.signOfLife?.key }

    /// Connects, makes the schema where it is missing and may be made, and begins the sign of life of this process.
    ///
    /// - Throws: `TidemarkError.storeUnavailable(store:problem:)` where the server cannot be reached, is too old, refuses
    ///   the role or has not given it the rights, and where a pooler stands before a direct connection;
    ///   `TidemarkError.notPrimary(store:)`, `TidemarkError.schemaTooNew(store:found:supported:)`,
    ///   `TidemarkError.notADatabase(store:problem:)` where the namespace holds something else. No error has a password.
    public static func open(
        _ configuration: PostgresConfiguration, options: PostgreSQLStoreOptions = PostgreSQLStoreOptions(),
        logger: Logger = Logger(label: "tidemark.postgresql")
    ) async throws -> PostgreSQLEventStore {
        try await open(configuration, options: options, logger: logger, migrations: .current)
    }

    /// The same, with steps of a test's own.
    static func open(
        _ configuration: PostgresConfiguration, options: PostgreSQLStoreOptions = PostgreSQLStoreOptions(),
        logger: Logger = Logger(label: "tidemark.postgresql"), migrations: SchemaMigrations
    ) async throws -> PostgreSQLEventStore {
        let store = PostgreSQLEventStore(configuration, options, logger)
        do {
            try await store.prepare(migrations)
            if options.showsLife { try await store.direct.start() }
        } catch {
            await store.close()
            throw store.errors.tidemarkError(error)
        }
        return store
    }

    /// Whether a database that could not be opened may only be new, or out of reach for now: there is no server, or none
    /// that takes connections yet, or no schema in the database.
    package static func outlook(
        _ configuration: PostgresConfiguration, options: PostgreSQLStoreOptions
    ) async -> StoreOutlook {
        let pool = PostgresPool(configuration, logger: Logger(label: "tidemark.postgresql"))
        let schema = Schema(store: pool.server, namespace: options.namespace, migrations: .current)
        let outlook: StoreOutlook
        do {
            outlook = try await pool.perform { try schema.outlook($0) }
        } catch {
            outlook = (error as? PostgresError)?.needsSomebody == false ? .mayCome : .needsSomebody
        }
        await pool.close()
        return outlook
    }

    private init(_ configuration: PostgresConfiguration, _ options: PostgreSQLStoreOptions, _ logger: Logger) {
        self.options = options
        self.logger = logger
        pool = PostgresPool(configuration, logger: logger)
        direct = DirectConnection(configuration, logger: logger)
        description = "PostgreSQL at \(pool.server), namespace \(options.namespace)"
        errors = StoreErrors(
            store: description, namespace: options.namespace, lockLimit: options.lockLimit,
            role: configuration.address.user)
        renewLife()
    }

    /// Ends the connections, and with them the sign of life: close logs first. Calls that wait fail.
    public func close() async {
        await pool.close()
        await direct.close()
    }

    /// LISTEN and NOTIFY: nothing else has to be set up.
    public func ownTransport(for stream: StreamName) -> (any ReplicationTransport)? {
        PostgresTransport(self, stream: stream)
    }

    func channel(of stream: StreamName) -> NotificationChannel {
        channels.withLock { channels in
            if let channel = channels[stream] { return channel }
            let channel = NotificationChannel(
                NotificationChannel.name(namespace, stream), over: direct, logger: logger)
            channels[stream] = channel
            return channel
        }
    }

    /// A new direct connection has a new lock: the rows of this process's writers and consumers name it at once, and not
    /// only with the next heartbeat.
    private func renewLife() {
        let sql = "SELECT \(namespace.function("renew_life_1"))($1, $2)"
        let last = Mutex<Int64?>(nil)
        _ = direct.add(
            DirectConnection.Listener { [weak direct] change in
                guard case .connected(let life) = change else { return }
                let before = last.withLock { last in
                    defer { last = life.key }
                    return last
                }
                guard let before, before != life.key else { return }
                // Where it fails, the next heartbeat writes the same.
                direct?.submit { session in
                    _ = try? session.query(sql, [.int64(before), .int64(life.key)])
                } fail: { _ in
                }
            })
    }

    /// Makes the schema where it is missing and may be made, and refuses a database that cannot be used.
    private func prepare(_ migrations: SchemaMigrations) async throws {
        let schema = Schema(store: description, namespace: namespace, migrations: migrations)
        let (creates, lockLimit) = (options.creates, options.lockLimit)
        if try await pool.perform({ try schema.prepare($0, creates: creates) }) == .ready { return }
        try await pool.perform(limit: Self.migrationLimit) { try schema.migrate($0, lockLimit: lockLimit) }
    }

    /// How long a migration may take: it may have to look at every row.
    private static let migrationLimit: Duration = .seconds(3_600)

    /// The limit as the functions take it.
    var lockLimitMilliseconds: PostgresValue { .int32(Int32(clamping: Int64(options.lockLimit / .milliseconds(1)))) }

    // MARK: Calls

    /// How a call may be made again.
    enum Repeating: Sendable {
        /// It may have been done where its answer was lost, and doing it twice is something else.
        case onlyIfUndone
        /// It has a key of its own, or changes nothing the second time.
        case always
    }

    /// Calls a function that writes, in a transaction of its own.
    ///
    /// - Throws: ``PostgresError``, `CancellationError`: not what they mean.
    func write<Value: Sendable>(
        _ sql: String, _ parameters: [PostgresValue], _ repeating: Repeating,
        _ read: @escaping @Sendable (PostgresRows) throws -> Value
    ) async throws -> Value {
        var attempts = 0
        while true {
            attempts += 1
            let namesIsolation = namesIsolation.load(ordering: .relaxed)
            do {
                return try await pool.perform { session in
                    guard namesIsolation else { return try read(session.query(sql, parameters)) }
                    let answers = try session.pipeline([
                        PostgresStatement("BEGIN ISOLATION LEVEL READ COMMITTED"), PostgresStatement(sql, parameters),
                        PostgresStatement("COMMIT"),
                    ])
                    return try read(answers[1])
                }
            } catch let error as PostgresError {
                if error.sqlState == "TM001", !namesIsolation {
                    self.namesIsolation.store(true, ordering: .relaxed)
                    continue
                }
                guard attempts < Self.mostAttempts, isWorthRepeating(error, repeating) else { throw error }
            }
        }
    }

    static let mostAttempts = 5

    private func isWorthRepeating(_ error: PostgresError, _ repeating: Repeating) -> Bool {
        switch error {
        case .lost(_, _, let mayHaveHappened): !mayHaveHappened || repeating == .always
        // Two that waited for each other, and a row that changed meanwhile.
        case .refused(_, let message): ["40P01", "40001"].contains(message.sqlState)
        default: false
        }
    }

    /// The same for what excludes a writer's transactions: one that stands in the way for longer than the limit is ended.
    ///
    /// - Throws: `TidemarkError`, `CancellationError`.
    func exclude<Value: Sendable>(
        _ subject: CallSubject, _ sql: String, _ parameters: [PostgresValue], _ repeating: Repeating = .always,
        _ read: @escaping @Sendable (PostgresRows) throws -> Value
    ) async throws -> Value {
        var hasEnded = false
        while true {
            do {
                return try await write(sql, parameters, repeating, read)
            } catch let error as PostgresError where error.sqlState == "55P03" {
                if options.endsStuckTransactions, !hasEnded, try await endHolders(subject) {
                    hasEnded = true
                    continue
                }
                var holder = await oldestHolder(subject)
                if holder == nil { holder = await lockedTable(error)?.holder }
                throw errors.tidemarkError(error, subject, holder: holder)
            } catch {
                throw await writingError(error, subject)
            }
        }
    }

    /// Whether a transaction that stood in the way for longer than the limit was ended.
    @discardableResult
    func endHolders(_ subject: CallSubject) async throws -> Bool {
        let instance = subject.instance?.rawValue
        let ended = try? await pool.query(
            "SELECT \(namespace.function("end_holders_1"))($1, $2, $3)",
            [.text(subject.stream.rawValue), .text(instance), .int64(Int64(options.lockLimit / .milliseconds(1)))]
        ) { try $0.int64(0, 0) }
        return ended ?? 0 > 0
    }

    /// The session that has had a lock of the writer for the longest time, for people.
    func oldestHolder(_ subject: CallSubject) async -> String? {
        let holders = try? await pool.query(
            LockHolder.query(namespace), [.text(subject.stream.rawValue), .text(subject.instance?.rawValue)]
        ) { try LockHolder.all($0) }
        return holders?.first?.description
    }

    /// The session that has locked a table for which a call waited in vain; nil where there is none, or the call ended otherwise.
    func lockedTable(_ error: any Error) async -> (holder: String, limit: Duration)? {
        let limit: Duration
        switch error as? PostgresError {
        case .timedOut(_, let reached): limit = reached
        case .refused(_, let message) where message.sqlState == "55P03": limit = options.lockLimit
        default: return nil
        }
        let statement = TableLock.all(namespace)
        let locks = try? await pool.query(statement.sql, statement.parameters) { try TableLock.all($0) }
        // One that everybody waits behind names the one that it waits for itself.
        return (locks?.first(where: \.excludesReaders) ?? locks?.first).map { ($0.description, limit) }
    }

    /// What a write has failed with, after which nothing was written.
    func writingError(_ error: any Error, _ subject: CallSubject) async -> any Error {
        if let locked = await lockedTable(error) {
            return TidemarkError.writeLockHeld(store: description, by: locked.holder, limit: locked.limit)
        }
        return errors.tidemarkError(error, subject)
    }

    /// Runs `body` in one snapshot, opened after the call.
    func inSnapshot<Value: Sendable>(
        _ subject: CallSubject? = nil, limit: Duration? = nil,
        _ body: @escaping @Sendable (PostgresSession) throws -> Value
    ) async throws -> Value {
        var attempts = 0
        while true {
            attempts += 1
            do {
                return try await pool.perform(limit: limit, body)
            } catch {
                if case PostgresError.lost = error, attempts < Self.mostAttempts { continue }
                if let locked = await lockedTable(error) {
                    throw TidemarkError.lockedForReading(store: description, by: locked.holder, limit: locked.limit)
                }
                throw errors.tidemarkError(error, subject)
            }
        }
    }
}

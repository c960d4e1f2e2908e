import Logging
import Tidemark

/// A bounded number of connections to one database, each with a thread of its own, and the calls that wait for them.
///
/// A call runs on the thread of its connection, so that nothing of it blocks a thread of Swift's. A connection that was
/// lost is made anew, with growing delays; calls wait for that, unless there never was one or somebody has to change
/// something first. A pooler such as PgBouncer may be in front of the server.
final class PostgresPool: Sendable {
    private let connections: PostgresConnections

    init(
        _ configuration: PostgresConfiguration, time: TimeSource = .continuous,
        logger: Logger = Logger(label: "tidemark.postgresql")
    ) {
        connections = PostgresConnections(
            configuration.address, configuration, limit: configuration.connections, time: time, logger: logger)
    }

    deinit { connections.beginClosing() }

    /// The server and the database as one would name them in a sentence.
    var server: String { connections.server }

    /// Runs `body` with a connection, on the connection's thread; a transaction that it leaves open is rolled back.
    ///
    /// A task that is cancelled has the query stopped that is under way, and still gets what became of it: `body`'s
    /// value where the query was quicker, a `CancellationError` only where nothing was done, and an error of
    /// ``PostgresError/mayHaveHappened`` where it is not known. (Of `body`'s last transaction: what it committed before
    /// is its own to know.)
    ///
    /// - Parameter limit: for how long it may run; by default ``PostgresConfiguration/callLimit``.
    /// - Throws: what `body` throws, ``PostgresError``, `CancellationError`.
    func perform<Value: Sendable>(
        limit: Duration? = nil, _ body: @escaping @Sendable (PostgresSession) throws -> Value
    ) async throws -> Value {
        try await connections.perform(limit: limit, body)
    }

    /// Sends one statement; see ``PostgresSession/query(_:_:)``.
    func query<Value: Sendable>(
        _ sql: String, _ parameters: [PostgresValue] = [], limit: Duration? = nil,
        _ read: @escaping @Sendable (PostgresRows) throws -> Value
    ) async throws -> Value {
        try await perform(limit: limit) { try read($0.query(sql, parameters)) }
    }

    /// Takes no more calls, fails those that wait, lets those end that run, and closes the connections.
    func close() async {
        connections.beginClosing()
        await connections.waitUntilEnded()
    }
}

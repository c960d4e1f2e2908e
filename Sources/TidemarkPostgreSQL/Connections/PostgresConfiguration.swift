/// Where a PostgreSQL database is, and the times and bounds of the connections to it.
///
/// Addresses are whatever libpq takes: `postgres://…`, keywords such as `host=… dbname=…`, a `service` of a service
/// file, and the environment and the password file for what an address leaves out, TLS modes and certificates included.
public struct PostgresConfiguration: Sendable {
    /// The database, of which no description shows the password.
    public let address: PostgresAddress
    /// The server itself, where ``address`` is that of a connection pooler such as PgBouncer; nil where both are the
    /// same.
    ///
    /// It is used for the one connection of a process that has to be direct: what listens, notifies and shows that the
    /// process lives.
    public var directAddress: PostgresAddress?
    /// How many connections there may be, beside the direct one. 2 to 8 are enough.
    public var connections = 4
    /// How many calls may wait for a connection.
    public var waitingLimit = 256
    /// For how long a call waits for a connection, while the server is restarted for example.
    public var waitLimit: Duration = .seconds(10)
    /// For how long a call may run when it has a connection; then it is stopped.
    public var callLimit: Duration = .seconds(30)
    /// How long the server may take to stop a call; after that the connection is given up.
    public var stopLimit: Duration = .seconds(5)
    /// How long a connection may take to be made, for each of the hosts; in whole seconds, 2 at least. A
    /// `connect_timeout` of the address or the environment goes before it.
    public var connectLimit: Duration = .seconds(5)
    /// The delay after the first connection that could not be made; it doubles with each further one.
    public var shortestDelay: Duration = .milliseconds(20)
    /// The longest delay while the server cannot be reached: how late at most a server that is back is noticed.
    public var longestDelay: Duration = .milliseconds(500)
    /// The longest delay while the server refuses this role or database, which only somebody can change.
    public var longestRefusalDelay: Duration = .seconds(5)

    /// The defaults, for this address.
    public init(_ address: PostgresAddress) { self.address = address }

    /// - Throws: ``PostgresError/invalidAddress(problem:)``.
    public init(_ address: String) throws(PostgresError) {
        self.init(try PostgresAddress(parsing: address))
    }
}

#if Configuration
public import Configuration
public import Logging
public import Tidemark

extension PostgresConfiguration {
    /// What a configuration says in `database`, `direct` and under `postgres.`: the article *Configuration* of `Tidemark` has the
    /// keys, their bounds and defaults.
    ///
    /// - Parameter reader: in the scope of Tidemark's keys: `config.scoped(to: "tidemark")`.
    /// - Throws: `InvalidConfiguration`, which shows no address.
    public init(reading reader: ConfigReader) throws(InvalidConfiguration) {
        let values = ConfigurationValues(reader)
        guard let address = try values.parsed("database", PostgresAddress.init(parsing:)) else {
            throw .missing(.named("database"))
        }
        self.init(address)
        directAddress = try values.parsed("direct", PostgresAddress.init(parsing:))
        try values.read("postgres.connections", into: &connections)
        try values.read("postgres.waitingLimit", into: &waitingLimit)
        try values.read("postgres.waitLimit", into: &waitLimit)
        try values.read("postgres.callLimit", into: &callLimit)
        try values.read("postgres.stopLimit", into: &stopLimit)
        try values.read("postgres.connectLimit", into: &connectLimit)
    }
}

extension PostgreSQLStoreOptions {
    /// What a configuration says in `namespace` and under `postgres.`.
    ///
    /// - Throws: `InvalidConfiguration`.
    public init(reading reader: ConfigReader) throws(InvalidConfiguration) {
        let values = ConfigurationValues(reader)
        if let name = try values.parsed("namespace", PostgresNamespace.init(validating:)) { namespace = name }
        try values.read("postgres.createsTables", into: &creates)
        try values.read("postgres.lockLimit", into: &lockLimit)
        try values.read("postgres.endsStuckTransactions", into: &endsStuckTransactions)
        try values.read("postgres.formerNamesKeptFor", into: &formerNamesKeptFor)
    }
}

extension PostgreSQLEventStore {
    /// Opens the database that a configuration names: see ``PostgresConfiguration/init(reading:)`` and
    /// ``PostgreSQLStoreOptions/init(reading:)``.
    ///
    /// - Throws: `InvalidConfiguration`, or what ``open(_:options:logger:)`` throws.
    public static func open(
        reading reader: ConfigReader, logger: Logger = Logger(label: "tidemark.postgresql")
    ) async throws -> PostgreSQLEventStore {
        try await open(
            PostgresConfiguration(reading: reader), options: PostgreSQLStoreOptions(reading: reader), logger: logger)
    }
}
#endif

#if Configuration
public import Configuration
public import Logging
public import Tidemark

extension SQLiteConfiguration {
    /// What a configuration says under `sqlite.`: the article *Configuration* of `Tidemark` has the keys, their bounds and
    /// defaults.
    ///
    /// - Parameter reader: in the scope of Tidemark's keys: `config.scoped(to: "tidemark")`.
    /// - Throws: `InvalidConfiguration`.
    public init(
        reading reader: ConfigReader, logger: Logger = Logger(label: "tidemark.sqlite")
    ) throws(InvalidConfiguration) {
        self.init(logger: logger)
        let values = ConfigurationValues(reader)
        try values.read("sqlite.createsDatabase", into: &createsDatabase)
        try values.read("sqlite.readOnly", into: &readOnly)
        try values.read("sqlite.busyTimeout", into: &busyTimeout)
        try values.read("sqlite.readTimeout", into: &readTimeout)
        try values.read("sqlite.fairnessTimeout", into: &fairnessTimeout)
        try values.read("sqlite.formerNamesKeptFor", into: &formerNamesKeptFor)
    }
}

extension SQLiteEventStore {
    /// Opens the file that the key `database` names, as a path or as `sqlite:PATH`, as ``SQLiteConfiguration/init(reading:logger:)``
    /// says.
    ///
    /// - Throws: `InvalidConfiguration`, or what ``open(path:configuration:)`` throws.
    public static func open(
        reading reader: ConfigReader, logger: Logger = Logger(label: "tidemark.sqlite")
    ) async throws -> SQLiteEventStore {
        let name = try ConfigurationValues(reader).requiredText("database")
        let path = name.hasPrefix("sqlite:") ? String(name.dropFirst("sqlite:".count)) : name
        guard !path.allSatisfy(\.isWhitespace), !path.contains("://") else {
            throw ConfigurationKey.named("database").refused(nil, "give the path of a file, or sqlite:PATH")
        }
        return try await open(path: path, configuration: SQLiteConfiguration(reading: reader, logger: logger))
    }
}
#endif

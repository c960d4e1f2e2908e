#if Configuration
public import Configuration
public import Logging
public import Tidemark

extension RedisTransport {
    /// The channel that the key `replication` names: `redis://[user:password@]host:port[/CHANNEL]`, or `rediss://…` with
    /// `?trust=PATH&certificate=PATH&key=PATH` where the files are not the system's.
    ///
    /// - Parameter reader: in the scope of Tidemark's keys: `config.scoped(to: "tidemark")`.
    /// - Throws: `InvalidConfiguration`, which shows no part of the URL.
    public convenience init(
        reading reader: ConfigReader, logger: Logger = Logger(label: "tidemark.replication")
    ) throws(InvalidConfiguration) {
        let key = ConfigurationKey.named("replication")
        guard let address = try ConfigurationValues(reader).parsed(key.name, RedisAddress.init(parsing:)) else {
            throw .missing(key)
        }
        do { try self.init(address, logger: logger) } catch { throw key.refused(nil, "\(error)") }
    }
}
#endif

#if Configuration
public import Configuration
public import Logging
public import Tidemark

/// The transports of this module as a configuration names them.
public enum SocketTransports {
    /// The transport that the key `replication` names.
    ///
    /// | value | transport |
    /// | --- | --- |
    /// | `auto`, or none | the socket beside the database; nil where there is no file |
    /// | `unix:PATH` | a socket in this folder |
    /// | `tcp://host:port` | TCP, beyond loopback with `?certificate=PATH&key=PATH&trust=PATH` |
    /// | `none` | nil: the instances hear each other through the database alone |
    ///
    /// - Parameters:
    ///   - reader: in the scope of Tidemark's keys: `config.scoped(to: "tidemark")`.
    ///   - path: of the database, where it is a file.
    /// - Throws: `InvalidConfiguration` for another value: `redis://…` is for `RedisTransport` of `TidemarkRedis`.
    ///   ``TCPTransportError`` or ``SocketFolderError`` where the transport cannot be made.
    public static func transport(
        reading reader: ConfigReader, besideDatabase path: String?,
        logger: Logger = Logger(label: "tidemark.replication")
    ) throws -> (any ReplicationTransport)? {
        let key = ConfigurationKey.named("replication")
        switch try ConfigurationValues(reader).text(key.name) ?? "auto" {
        case "auto": return try path.map { try UnixSocketTransport(besideDatabase: $0, logger: logger) }
        case "none": return nil
        case let text where text.hasPrefix("tcp://"):
            let url: TCPURL
            do { url = try TCPURL(parsing: text) } catch { throw key.refused(nil, "\(error)") }
            return try TCPTransport(url, logger: logger)
        case let text where text.hasPrefix("unix:"):
            let directory = UnixSocketTransport.directory(naming: text.dropFirst("unix:".count))
            guard let directory else { throw key.refused(nil, "give the path of a folder after unix:") }
            return UnixSocketTransport(directory: directory, logger: logger)
        case let text where text.hasPrefix("redis://") || text.hasPrefix("rediss://"):
            throw key.refused(nil, "this program has no Redis; give auto, unix:PATH, tcp://host:port or none")
        default:
            throw key.refused(nil, "give auto, unix:PATH, tcp://host:port or none")
        }
    }
}
#endif

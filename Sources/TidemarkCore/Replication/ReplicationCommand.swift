/// One line of the replication protocol.
public enum ReplicationCommand: Hashable, Sendable {
    /// The name of the server, the first line on a connection.
    case server(SimpleText)
    /// The name of the client.
    case name(SimpleText)
    case ping(SimpleText)
    case error(SimpleText)
    /// Asks everyone for their positions.
    case replicate
    case rdata(ReplicationRow)
    case position(ReplicationPosition)
}

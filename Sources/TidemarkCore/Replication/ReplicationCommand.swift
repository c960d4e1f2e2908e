/// One line of the replication protocol, without its line break.
///
/// Parsing a line and printing it gives the same line back, byte for byte but for a space at its end, and printing a
/// command and parsing that gives an equal command. What commands carry is of validated types: no value can bring a
/// line break into a line.
public enum ReplicationCommand: Hashable, Sendable {
    /// The name of the server, the first line on a connection.
    case server(SimpleText)
    /// The name of the client.
    case name(SimpleText)
    /// The sender is there.
    case ping(SimpleText)
    /// What went wrong at the sender, for people.
    case error(SimpleText)
    /// Asks everyone for their positions.
    case replicate
    case rdata(ReplicationRow)
    case position(ReplicationPosition)

    /// What command it is; the raw value is its name on the wire.
    public enum Kind: String, Hashable, Sendable, CaseIterable {
        case server = "SERVER"
        case name = "NAME"
        case ping = "PING"
        case error = "ERROR"
        case replicate = "REPLICATE"
        case rdata = "RDATA"
        case position = "POSITION"
    }

    public var kind: Kind {
        switch self {
        case .server: .server
        case .name: .name
        case .ping: .ping
        case .error: .error
        case .replicate: .replicate
        case .rdata: .rdata
        case .position: .position
        }
    }
}

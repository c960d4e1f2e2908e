/// How a command's sender takes part in the replication.
public enum CommandSender: Hashable, Sendable, CaseIterable {
    /// The end of a connection that accepted it, and passes on to each client what the others sent.
    case server
    /// The end of a connection that opened it.
    case client
    /// Anyone who publishes through a broker: there it has no connection with those who hear it.
    case publisher
}

extension ReplicationCommand.Kind {
    /// Whether the command says something about the one connection it is sent on, so that nobody passes it on.
    public var concernsOneConnection: Bool {
        switch self {
        case .server, .name, .ping, .error: true
        case .replicate, .rdata, .position, .remoteServerUp, .newActiveTask, .cancelTask, .userSync, .clearUserSync,
            .federationAck, .userIP, .lockReleased:
            false
        }
    }

    /// Whether the sender may send the command. One that comes from a wrong side is not to be acted on: a client that
    /// says `SERVER` takes itself for a server.
    public func mayBeSent(by sender: CommandSender) -> Bool {
        switch sender {
        case .server: self != .name
        case .client: self != .server
        case .publisher: !concernsOneConnection
        }
    }
}

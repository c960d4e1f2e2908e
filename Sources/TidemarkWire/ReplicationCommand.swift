import TidemarkCore

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
    /// A writer has written a row.
    case rdata(ReplicationRow)
    /// Where a writer is.
    case position(ReplicationPosition)
    /// Where a consumer is. It only wakes callers that wait for that.
    case checkpoint(ReplicationCheckpoint)
    /// The host can be reached again.
    case remoteServerUp(SimpleText)
    /// The task with that ID is to be started.
    case newActiveTask(SimpleText)
    /// The task with that ID is to be stopped.
    case cancelTask(SimpleText)
    /// A user's device began or ceased to sync.
    case userSync(UserSync)
    /// Nobody syncs on that run of an instance any more.
    case clearUserSync(ClearUserSync)
    /// That instance has sent on everything up to a token.
    case federationAck(FederationAck)
    /// From where a user was seen. It holds a secret, see ``UserIP``.
    case userIP(UserIP)
    /// An instance released a lock.
    case lockReleased(LockReleased)

    /// What command it is; the raw value is its name on the wire.
    public enum Kind: String, Hashable, Sendable, CaseIterable {
        /// ``ReplicationCommand/server(_:)``
        case server = "SERVER"
        /// ``ReplicationCommand/name(_:)``
        case name = "NAME"
        /// ``ReplicationCommand/ping(_:)``
        case ping = "PING"
        /// ``ReplicationCommand/error(_:)``
        case error = "ERROR"
        /// ``ReplicationCommand/replicate``
        case replicate = "REPLICATE"
        /// ``ReplicationCommand/rdata(_:)``
        case rdata = "RDATA"
        /// ``ReplicationCommand/position(_:)``
        case position = "POSITION"
        /// ``ReplicationCommand/checkpoint(_:)``
        case checkpoint = "CHECKPOINT"
        /// ``ReplicationCommand/remoteServerUp(_:)``
        case remoteServerUp = "REMOTE_SERVER_UP"
        /// ``ReplicationCommand/newActiveTask(_:)``
        case newActiveTask = "NEW_ACTIVE_TASK"
        /// ``ReplicationCommand/cancelTask(_:)``
        case cancelTask = "CANCEL_TASK"
        /// ``ReplicationCommand/userSync(_:)``
        case userSync = "USER_SYNC"
        /// ``ReplicationCommand/clearUserSync(_:)``
        case clearUserSync = "CLEAR_USER_SYNC"
        /// ``ReplicationCommand/federationAck(_:)``
        case federationAck = "FEDERATION_ACK"
        /// ``ReplicationCommand/userIP(_:)``
        case userIP = "USER_IP"
        /// ``ReplicationCommand/lockReleased(_:)``
        case lockReleased = "LOCK_RELEASED"
    }

    /// What command it is.
    public var kind: Kind {
        switch self {
        case .server: .server
        case .name: .name
        case .ping: .ping
        case .error: .error
        case .replicate: .replicate
        case .rdata: .rdata
        case .position: .position
        case .checkpoint: .checkpoint
        case .remoteServerUp: .remoteServerUp
        case .newActiveTask: .newActiveTask
        case .cancelTask: .cancelTask
        case .userSync: .userSync
        case .clearUserSync: .clearUserSync
        case .federationAck: .federationAck
        case .userIP: .userIP
        case .lockReleased: .lockReleased
        }
    }
}

extension ReplicationCommand: CustomStringConvertible, CustomDebugStringConvertible {
    /// The line for a log or a terminal: without what `USER_IP` must not tell, without the rows of other software, which
    /// may hold whatever that knows (access tokens, for one), and with characters that do something instead of being seen
    /// written as escapes.
    public var description: String {
        switch self {
        case .userIP(let seen):
            return "\(kind.rawValue) \(seen)".shown
        case .rdata(let row) where row.nonce == nil:
            let token =
                switch row.token {
                case .id(let id): "\(id)"
                case .batch: "batch"
                }
            let place = "\(row.stream) \(row.writer.wireName) \(token)"
            return "\(kind.rawValue) \(place) (a row of \(row.row.text.utf8.count) bytes)".shown
        default:
            return descriptionWithRows
        }
    }

    /// The same, with the rows: for a person who has asked for them.
    public var descriptionWithRows: String {
        if case .userIP = self { return description }
        return line.shown
    }

    public var debugDescription: String { description }
}

extension ReplicationCommand.Kind {
    /// The command with that name; nil when there is none.
    ///
    /// Length and first byte leave at most one candidate, which saves comparing every line with every name.
    init?(_ line: Span<UInt8>, _ name: Range<Int>) {
        guard !name.isEmpty, let candidate = Self.candidate(length: name.count, first: line[name.lowerBound]) else {
            return nil
        }
        guard line.extracting(name).equals(candidate.rawValue) else { return nil }
        self = candidate
    }

    private static func candidate(length: Int, first: UInt8) -> Self? {
        switch (length, first) {
        case (4, UInt8(ascii: "N")): .name
        case (4, UInt8(ascii: "P")): .ping
        case (5, UInt8(ascii: "E")): .error
        case (5, UInt8(ascii: "R")): .rdata
        case (6, UInt8(ascii: "S")): .server
        case (7, UInt8(ascii: "U")): .userIP
        case (8, UInt8(ascii: "P")): .position
        case (9, UInt8(ascii: "R")): .replicate
        case (9, UInt8(ascii: "U")): .userSync
        case (10, UInt8(ascii: "C")): .checkpoint
        case (11, UInt8(ascii: "C")): .cancelTask
        case (13, UInt8(ascii: "L")): .lockReleased
        case (14, UInt8(ascii: "F")): .federationAck
        case (15, UInt8(ascii: "C")): .clearUserSync
        case (15, UInt8(ascii: "N")): .newActiveTask
        case (16, UInt8(ascii: "R")): .remoteServerUp
        default: nil
        }
    }
}

extension Span<UInt8> {
    func equals(_ text: String) -> Bool {
        var text = text
        return text.withUTF8 { bytes in
            guard bytes.count == count else { return false }
            for offset in indices where bytes[offset] != self[offset] { return false }
            return true
        }
    }
}

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
        case .replicate, .rdata, .position, .checkpoint, .remoteServerUp, .newActiveTask, .cancelTask, .userSync,
            .clearUserSync,
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

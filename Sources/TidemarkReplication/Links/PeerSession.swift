import TidemarkCore
import TidemarkWire

/// What the lines of one peer mean: who may say what, and when.
struct PeerSession {
    enum Side: Equatable {
        /// The peer serves; it has to give this name first.
        case server(named: String)
        /// The peer is a client, or somebody who types lines by hand; it has to give a name first.
        case client
    }

    enum Meaning: Equatable {
        /// The server gave the right name, or the client gave one: from here on it hears and speaks.
        case greeted
        case ping
        /// For the connections of this process, and to be relayed by a server.
        case command
        /// The peer tells what it finds wrong.
        case complaint(String)
        /// The client has given another name than before.
        case named(String)
        /// Not for this side to say: counted and skipped.
        case outOfPlace
        /// The connection is of no use.
        case refuse(SocketProblem)
    }

    let side: Side
    private(set) var isGreeted = false
    /// What a client calls itself.
    private(set) var clientName: String?

    init(side: Side) { self.side = side }

    /// What is to be done about a line that is no command.
    ///
    /// A client whose first line is none speaks another protocol: a web page can have a browser send what it wants to
    /// a port of this machine, behind the lines of HTTP.
    var meaningOfUnreadableLine: Meaning {
        side == .client && !isGreeted ? .refuse(.noClientName) : .outOfPlace
    }

    private var sender: CommandSender {
        switch side {
        case .server: .server
        case .client: .client
        }
    }

    mutating func meaning(of command: ReplicationCommand) -> Meaning {
        switch (command, side) {
        case (.name(let name), .client):
            clientName = name.text
            defer { isGreeted = true }
            return isGreeted ? .named(name.text) : .greeted
        case (_, .client) where !isGreeted:
            return .refuse(.noClientName)
        case (.ping, _):
            return .ping
        case (.error(let text), _):
            return .complaint(text.text)
        case (.server(let name), .server(let expected)) where !isGreeted:
            guard name.text == expected else {
                return .refuse(.wrongServerName(expected: expected, found: name.text))
            }
            isGreeted = true
            return .greeted
        case (.server, .server),
            _ where !command.kind.mayBeSent(by: sender):
            return .outOfPlace
        default:
            return isGreeted ? .command : .refuse(.noServerName)
        }
    }
}

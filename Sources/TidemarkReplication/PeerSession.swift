import TidemarkCore

/// What the lines of one peer mean: who may say what, and when.
struct PeerSession {
    enum Side: Equatable {
        /// The peer serves; it has to give this name first.
        case server(named: String)
        /// The peer is a client, or somebody who types lines by hand.
        case client
    }

    enum Meaning: Equatable {
        /// The server gave the right name: the link is up.
        case greeted
        case ping
        /// For the connections of this process, and to be relayed by a server.
        case command
        /// The peer tells what it finds wrong.
        case complaint(String)
        /// The peer has given its name.
        case named(String)
        /// Not for this side to say: counted and skipped.
        case outOfPlace
        /// The connection is of no use.
        case refuse(SocketProblem)
    }

    let side: Side
    private(set) var isGreeted: Bool

    init(side: Side) {
        self.side = side
        isGreeted = side == .client
    }

    private var sender: CommandSender {
        switch side {
        case .server: .server
        case .client: .client
        }
    }

    mutating func meaning(of command: ReplicationCommand) -> Meaning {
        switch (command, side) {
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
        case (.name(let name), .client):
            return .named(name.text)
        case (.server, .server),
            _ where !command.kind.mayBeSent(by: sender):
            return .outOfPlace
        default:
            return isGreeted ? .command : .refuse(.noServerName)
        }
    }
}

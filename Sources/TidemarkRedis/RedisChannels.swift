import TidemarkCore
import TidemarkWire

/// The channels that commands go to.
struct RedisChannels: Hashable, Sendable {
    let main: String
    /// Few have to know the addresses of users, and the access tokens beside them: so it is apart.
    let userIP: String
    let hearsUserIP: Bool

    init(_ channel: String, hearsUserIP: Bool) {
        main = channel
        userIP = channel + "/USER_IP"
        self.hearsUserIP = hearsUserIP
    }

    /// What is to be listened to, the main channel last.
    var heard: [String] { hearsUserIP ? [userIP, main] : [main] }

    /// Where the command is said; nil for one that says something about a connection, of which a broker has none.
    func channel(for kind: ReplicationCommand.Kind) -> String? {
        guard kind.mayBeSent(by: .publisher) else { return nil }
        return kind == .userIP ? userIP : main
    }
}

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

/// Turns commands into messages, none of them longer than a limit.
///
/// A row that is too long is left out with the other rows of its ID, and a position in their place has receivers fetch
/// them. What nobody says through a broker is left out too.
struct MessageEncoding {
    let channels: RedisChannels
    /// In bytes, without a line break.
    let lineLimit: Int

    func messages(of commands: [ReplicationCommand]) -> (messages: [RedisMessage], leftOut: Int) {
        var messages: [RedisMessage?] = []
        var tooLong: [Int] = []
        for (index, command) in commands.enumerated() {
            let message = message(of: command)
            if message == nil { tooLong.append(index) }
            messages.append(message)
        }
        let leftOut = commands.leftOut(tooLong: tooLong)
        if !leftOut.isEmpty { messages = commands.replacingRows(leftOut).map(message(of:)) }
        return (messages.compactMap { $0 }, leftOut.count)
    }

    private func message(of command: ReplicationCommand) -> RedisMessage? {
        guard let channel = channels.channel(for: command.kind) else { return nil }
        var line: [UInt8] = []
        command.append(to: &line)
        return line.count > lineLimit ? nil : RedisMessage(channel: channel, line: line)
    }
}

/// A command to a Redis server, as the strings that it is made of.
///
/// Its description is its name alone: a password may follow.
struct RedisCommand: Hashable, Sendable, CustomStringConvertible {
    let arguments: [[UInt8]]

    private init(_ name: String, _ arguments: [UInt8]...) {
        self.arguments = [Array(name.utf8)] + arguments
    }

    static func auth(user: String?, password: String) -> RedisCommand {
        guard let user else { return RedisCommand("AUTH", Array(password.utf8)) }
        return RedisCommand("AUTH", Array(user.utf8), Array(password.utf8))
    }

    static func subscribe(_ channel: String) -> RedisCommand { RedisCommand("SUBSCRIBE", Array(channel.utf8)) }

    static func publish(_ message: RedisMessage) -> RedisCommand {
        RedisCommand("PUBLISH", Array(message.channel.utf8), message.line)
    }

    static let ping = RedisCommand("PING")

    var description: String { String(decoding: arguments[0], as: UTF8.self) }
}

/// A line on a channel.
struct RedisMessage: Hashable, Sendable {
    let channel: String
    let line: [UInt8]
}

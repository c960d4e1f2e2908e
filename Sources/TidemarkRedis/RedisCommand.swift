import CHiredis
import NIOCore

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

extension ByteBuffer {
    /// Appends the command as the protocol of Redis writes it.
    mutating func write(_ command: RedisCommand) {
        let lengths = command.arguments.map(\.count)
        // One allocation for all of them, with a byte between, so that an empty one has an address too.
        let joined: [UInt8] = Array(command.arguments.joined(separator: [0])) + [0]
        joined.withUnsafeBytes { bytes in
            // `joined` has at least the command's name, so there is a first byte.
            guard let base = bytes.baseAddress?.assumingMemoryBound(to: CChar.self) else { return }
            var next = base
            let pointers: [UnsafePointer<CChar>?] = lengths.map { length in
                defer { next += length + 1 }
                return next
            }
            writeFormatted(pointers, lengths)
        }
    }

    /// Safe: hiredis reads `lengths[n]` bytes from the nth pointer, which stay where they are until the caller's closure
    /// ends; what it allocates is read for exactly the length that it returns, and freed once, here.
    private mutating func writeFormatted(_ pointers: [UnsafePointer<CChar>?], _ lengths: [Int]) {
        var pointers = pointers
        var formatted: UnsafeMutablePointer<CChar>?
        let length = redisFormatCommandArgv(&formatted, CInt(pointers.count), &pointers, lengths)
        guard length >= 0, let formatted else { preconditionFailure("out of memory while a command was formatted") }
        defer { redisFreeCommand(formatted) }
        writeBytes(UnsafeRawBufferPointer(start: formatted, count: Int(length)))
    }
}

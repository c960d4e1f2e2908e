import Foundation

/// Where a Redis server is and on which channel instances talk: `redis://[user:password@]host[:port][/CHANNEL]`, or
/// `rediss://` for TLS.
///
/// What has a meaning in a URL (`@`, `:`, `/`, `%`) is written percent-encoded in a user name, a password or a channel.
/// The password is in no description and no reflection of this value.
public struct RedisURL: Hashable, Sendable {
    /// Whether it begins with `rediss://`.
    public let usesTLS: Bool
    /// A name or an address; an IPv6 address without its brackets.
    public let host: String
    /// 1 to 65535; 6379 where none is given.
    public let port: Int
    /// Nil where the server has one password for everyone, or none.
    public let user: String?
    /// ``defaultChannel`` where none is given; 1 to 256 bytes, without `/`, which begins a channel below this one.
    public let channel: String
    let password: String?

    /// The channel of who names none.
    public static let defaultChannel = ownPrefix + "replication"
    /// What no other software's channels begin with.
    public static let ownPrefix = "tidemark."
    static let defaultPort = 6379
    static let channelLimit = 256

    /// - Throws: ``InvalidRedisURL``, which never holds any part of the text.
    public init(parsing text: String) throws(InvalidRedisURL) {
        guard let url = URLComponents(string: text, encodingInvalidCharacters: false) else { throw .notAURL }
        switch url.scheme?.lowercased() {
        case "redis": usesTLS = false
        case "rediss": usesTLS = true
        default: throw .unknownScheme
        }
        guard let host = url.encodedHost?.removingPercentEncoding, !host.isEmpty else { throw .noHost }
        let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
        self.host = isBracketed ? String(host.dropFirst().dropLast()) : host
        port = url.port ?? Self.defaultPort
        guard (1...65_535).contains(port) else { throw .invalidPort }
        if url.percentEncodedQuery != nil || url.percentEncodedFragment != nil { throw .unexpectedQuery }
        (user, password) = try Self.credentials(user: url.percentEncodedUser, password: url.percentEncodedPassword)
        channel = try Self.channel(path: url.percentEncodedPath)
    }

    private static func credentials(
        user: String?, password: String?
    ) throws(InvalidRedisURL) -> (user: String?, password: String?) {
        let name = try decoded(user).flatMap { $0.isEmpty ? nil : $0 }
        guard let secret = try decoded(password), !secret.isEmpty else {
            if name != nil { throw .userWithoutPassword }
            return (nil, nil)
        }
        return (name, secret)
    }

    private static func decoded(_ text: String?) throws(InvalidRedisURL) -> String? {
        guard let text else { return nil }
        guard let decoded = text.removingPercentEncoding else { throw .invalidPercentEncoding }
        return decoded
    }

    private static func channel(path: String) throws(InvalidRedisURL) -> String {
        if path.isEmpty || path == "/" { return defaultChannel }
        if path.dropFirst().contains("/") { throw .invalidChannel }
        guard let channel = path.dropFirst().removingPercentEncoding else { throw .invalidPercentEncoding }
        let isPlain = channel.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7F && $0 != UInt8(ascii: "/") }
        guard isPlain, channel.utf8.count <= channelLimit else { throw .invalidChannel }
        return channel
    }

    /// The server as one would name it in a sentence.
    var server: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

extension RedisURL: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// The URL without what it takes to log in.
    public var description: String { "\(usesTLS ? "rediss" : "redis")://\(server)/\(channel)" }

    public var debugDescription: String { description }

    public var customMirror: Mirror { Mirror(self, children: ["url": description]) }
}

/// Why a text is no URL of a Redis channel. It holds no part of the text: there may be a password in it.
public enum InvalidRedisURL: Error, Hashable, Sendable, CustomStringConvertible {
    /// It cannot be read as a URL.
    case notAURL
    /// It begins with neither `redis://` nor `rediss://`.
    case unknownScheme
    /// The host is missing.
    case noHost
    /// The port is not one of 1 to 65535.
    case invalidPort
    /// A `%` is not followed by two hexadecimal digits, or what they stand for is no UTF-8.
    case invalidPercentEncoding
    /// There is a user name without a password.
    case userWithoutPassword
    /// The channel is none: see ``RedisURL/channel``.
    case invalidChannel
    /// Something follows the channel.
    case unexpectedQuery

    public var description: String {
        let problem =
            switch self {
            case .notAURL: "it cannot be read as a URL (write '@', ':', '/' and '%' in a password percent-encoded)"
            case .unknownScheme: "it begins with neither redis:// nor rediss://"
            case .noHost: "the host is missing"
            case .invalidPort: "the port is not one of 1 to 65535"
            case .invalidPercentEncoding: "what follows a '%' is not two hexadecimal digits, or is not UTF-8"
            case .userWithoutPassword: "there is a user without a password"
            case .invalidChannel: "the channel is longer than 256 bytes, or has a space, a control character or a '/'"
            case .unexpectedQuery: "nothing may follow the channel"
            }
        return "the URL of the Redis channel is not valid: \(problem); "
            + "give redis://[user:password@]host[:port][/CHANNEL], or rediss:// for TLS"
    }
}

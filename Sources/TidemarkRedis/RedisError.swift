import TidemarkCore
import TidemarkWire

/// Why there is no connection to a Redis server, or no longer one. It never holds a password.
public enum RedisError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What the server did not let this program do.
    public enum Step: Hashable, Sendable {
        /// To log in.
        case authentication
        /// To listen on the channel.
        case subscription
        /// To publish on the channel.
        case publication
    }

    /// No connection could be made.
    case unreachable(server: String, problem: String)
    /// TLS could not be agreed on, or the server's certificate is not trusted.
    case tlsFailed(server: String, problem: String)
    /// The server answered with an error.
    case refused(server: String, step: Step, answer: String)
    /// What came is not the protocol of Redis, or not an answer to what was asked.
    case notRedis(server: String, problem: String)
    /// A reply is longer than what is taken.
    case replyTooLong(server: String, limit: Int)
    /// A connection that was there ended.
    case lost(server: String, problem: String)
    /// Nothing was heard for so long, in spite of pings.
    case silent(server: String, limit: Duration)
    /// What is published does not come back to who listens: the two connections reach different servers.
    case deaf(server: String, limit: Duration)
    /// Connecting, logging in and subscribing took longer than that.
    case setUpTimedOut(server: String, limit: Duration)

    public var description: String {
        switch self {
        case .unreachable(let server, let problem):
            "the Redis server at \(server) cannot be reached: \(problem)"
        case .tlsFailed(let server, let problem):
            "TLS with the Redis server at \(server) failed: \(problem)"
        case .refused(let server, .authentication, let answer):
            "the Redis server at \(server) does not accept the user or password of the URL: \(answer)"
        case .refused(let server, .subscription, let answer):
            "the Redis server at \(server) does not let this user subscribe to the channel: \(answer)"
        case .refused(let server, .publication, let answer):
            "the Redis server at \(server) does not let this user publish to the channel: \(answer)"
        case .notRedis(let server, let problem):
            "what is at \(server) does not answer as a Redis server does: \(problem)"
        case .replyTooLong(let server, let limit):
            "the Redis server at \(server) sent more than \(limit) bytes as one message"
        case .lost(let server, let problem):
            "the connection to the Redis server at \(server) was lost: \(problem)"
        case .silent(let server, let limit):
            "the Redis server at \(server) has said nothing for \(limit)"
        case .deaf(let server, let limit):
            "what is published at \(server) has not come back for \(limit): two connections to that address reach "
                + "different Redis servers"
        case .setUpTimedOut(let server, let limit):
            "the Redis server at \(server) did not take a subscription within \(limit)"
        }
    }

    /// Whether trying again soon is of no use: somebody has to change the URL or the server first.
    var needsSomebody: Bool {
        switch self {
        case .refused, .notRedis, .tlsFailed: true
        case .unreachable, .replyTooLong, .lost, .silent, .deaf, .setUpTimedOut: false
        }
    }
}

/// An error that a server answers with, as it may be shown.
enum RedisAnswer {
    private static let limit = 300

    /// A server that does not know a command answers with the arguments that it got: those of `AUTH` have the password,
    /// and those of `PUBLISH` may have a user's access token. They are cut off.
    static func shown(_ answer: String, hiding password: String?) -> String {
        var shown = answer
        if let arguments = shown.firstRange(of: "with args") {
            shown = shown[..<arguments.lowerBound] + "with arguments that are withheld"
        }
        if let password, shown.contains(password) {
            shown = shown.prefix { $0 != " " } + " (the rest is withheld: it holds the password)"
        }
        return shown.shown(atMost: limit)
    }
}

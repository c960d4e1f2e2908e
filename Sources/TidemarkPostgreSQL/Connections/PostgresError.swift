/// What went wrong with a PostgreSQL server. It never holds a password.
///
/// A task that is cancelled gets a `CancellationError` instead, and only where it is certain that nothing was done.
public enum PostgresError: Error, Hashable, Sendable {
    // MARK: Before anything was sent

    /// The connection string cannot be used.
    case invalidAddress(problem: String)
    /// No connection could be made: nobody listens there, the server refuses, or TLS failed.
    ///
    /// - Parameter sqlState: what the server itself answered with, if it did.
    case cannotConnect(server: String, sqlState: String?, problem: String)
    /// The server's version is below the lowest that works.
    case serverTooOld(server: String, version: String)
    /// A connection pooler is where the server itself has to be: what listens, and is a process's sign of life, is lost
    /// in a pooler.
    case poolerInFront(server: String)
    /// No connection became free, or could be made, for so long.
    case noConnection(server: String, limit: Duration, because: String?)
    /// So many calls wait for a connection already.
    case tooManyWaiting(server: String, limit: Int)
    /// The connections were closed.
    case closed(server: String)

    // MARK: Afterwards

    /// The server answered with an error: nothing of that transaction was done.
    case refused(server: String, ServerMessage)
    /// It took longer than that, and was stopped: nothing of that transaction was done.
    case timedOut(server: String, limit: Duration)
    /// The connection was lost before there was an answer.
    ///
    /// - Parameter mayHaveHappened: whether what was sent may have been done all the same. Otherwise it certainly was
    ///   not,
    ///   and never will be.
    case lost(server: String, problem: String, mayHaveHappened: Bool)
    /// The transaction committed, but the server gave up waiting for its standbys: it is not known to be durable as far
    /// as the server is set up to have it.
    case notReplicated(server: String, problem: String)
    /// The answer is not of the form that the query has.
    case unexpectedAnswer(server: String, problem: String)

    /// Whether what was asked for may have been done, or may still be done.
    public var mayHaveHappened: Bool {
        switch self {
        case .invalidAddress, .cannotConnect, .serverTooOld, .poolerInFront, .noConnection, .tooManyWaiting, .closed,
            .refused, .timedOut:
            false
        case .lost(_, _, let mayHaveHappened): mayHaveHappened
        case .notReplicated, .unexpectedAnswer: true
        }
    }

    /// The five characters of SQLSTATE that the server answered with.
    public var sqlState: String? {
        switch self {
        case .cannotConnect(_, let sqlState, _): sqlState
        case .refused(_, let message): message.sqlState
        default: nil
        }
    }

    /// Whether trying again soon is of no use: somebody has to change an address, a role or a server first.
    var needsSomebody: Bool {
        switch self {
        case .invalidAddress, .serverTooOld, .poolerInFront: true
        // Wrong passwords and roles; an unknown database; no right to connect.
        case .cannotConnect(_, let sqlState?, _): sqlState.hasPrefix("28") || ["3D000", "42501"].contains(sqlState)
        default: false
        }
    }
}

/// What a PostgreSQL server says with an error.
public struct ServerMessage: Hashable, Sendable, CustomStringConvertible {
    /// Five characters, by which programs tell errors apart.
    public let sqlState: String
    /// What is wrong, in the language of the server.
    public let message: String
    /// More about it; nil where the server says no more.
    public let detail: String?
    /// What the server suggests; nil where it suggests nothing.
    public let hint: String?
    /// The constraint that would have been broken.
    public let constraint: String?

    init(sqlState: String, message: String, detail: String? = nil, hint: String? = nil, constraint: String? = nil) {
        self.sqlState = sqlState
        self.message = message
        self.detail = detail
        self.hint = hint
        self.constraint = constraint
    }

    public var description: String {
        var text = "\(message) (SQLSTATE \(sqlState))"
        if let detail { text += "; \(detail)" }
        if let hint { text += "; \(hint)" }
        return text
    }
}

extension PostgresError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .invalidAddress(let problem):
            "the PostgreSQL address cannot be used: \(problem); give postgres://[user[:password]@]host[:port]/database, with "
                + "'@', ':', '/' and '%' in a password percent-encoded, or keywords as libpq takes them"
        case .cannotConnect(let server, _, let problem):
            "no connection to PostgreSQL at \(server): \(problem)"
        case .serverTooOld(let server, let version):
            "the PostgreSQL server at \(server) has version \(version): use 13 or later"
        case .poolerInFront(let server):
            "\(server) is a connection pooler, and not the PostgreSQL server itself: what listens for news, and tells that "
                + "this process lives, needs a direct connection; give the server's own address as the direct address "
                + "(PostgresConfiguration.directAddress, --direct of the program)"
        case .noConnection(let server, let limit, let cause):
            "no connection to PostgreSQL at \(server) became free within \(limit)\(cause.map { ": \($0)" } ?? "")"
        case .tooManyWaiting(let server, let limit):
            "\(limit) calls wait for a connection to PostgreSQL at \(server) already"
        case .closed(let server):
            "the connections to PostgreSQL at \(server) were closed"
        case .refused(let server, let message):
            "PostgreSQL at \(server) refused: \(message)"
        case .timedOut(let server, let limit):
            "PostgreSQL at \(server) did not finish within \(limit): nothing was done"
        case .lost(let server, let problem, let mayHaveHappened):
            "the connection to PostgreSQL at \(server) was lost: \(problem); "
                + (mayHaveHappened ? "what was asked for may have been done" : "nothing was done")
        case .notReplicated(let server, let problem):
            "PostgreSQL at \(server) has committed without its standbys: \(problem)"
        case .unexpectedAnswer(let server, let problem):
            "PostgreSQL at \(server) answered with something unexpected: \(problem)"
        }
    }
}

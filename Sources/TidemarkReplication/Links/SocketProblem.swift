import TidemarkCore
import TidemarkWire

/// Why a connection to another process ended, or could not be made.
public enum SocketProblem: Error, Hashable, Sendable, CustomStringConvertible {
    /// Another program serves there, or another exchange.
    case wrongServerName(expected: String, found: String)
    /// The server said something else before its name.
    case noServerName
    /// The client said something else before its name.
    case noClientName
    /// Too many clients have not said who they are, most of them come from where this one does, and it was drawn.
    case crowdedOut(limit: Int)
    /// A line goes on beyond the limit, in bytes: where the next one begins can no longer be told with bounded memory.
    case lineTooLong(limit: Int)
    /// The peer, which says what it is called, has said nothing for so long.
    case silent(peer: String, limit: Duration)
    /// The peer leaves too much unread.
    case tooSlow(peer: String, unsentBytes: Int)
    /// The peer has ended the connection.
    case closed(peer: String)
    /// The connection broke.
    case failed(peer: String, problem: String)
    /// Another process serves now, or the listening socket failed.
    case servesNoLonger(problem: String)
    /// It could neither be connected to, nor served.
    case unreachable(problem: String)

    public var description: String {
        switch self {
        case .wrongServerName(let expected, let found):
            "the server is called \"\(found.shown(atMost: 64))\", not \"\(expected)\""
        case .noServerName: "the server spoke before it gave its name"
        case .noClientName: "the first line of a client has to be NAME"
        case .crowdedOut(let limit): "more than \(limit) clients have not said who they are"
        case .lineTooLong(let limit): "a line is longer than \(limit) bytes"
        case .silent(let peer, let limit): "\(peer) has said nothing for \(limit)"
        case .tooSlow(let peer, let unsent): "\(peer) reads too slowly: \(unsent) bytes wait for it"
        case .closed(let peer): "\(peer) closed the connection"
        case .failed(let peer, let problem): "the connection to \(peer) failed: \(problem)"
        case .servesNoLonger(let problem), .unreachable(let problem): problem
        }
    }
}

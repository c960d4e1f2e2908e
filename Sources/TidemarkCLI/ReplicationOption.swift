import ArgumentParser
import Tidemark
import TidemarkReplication

/// How the processes that share a database hear each other.
enum Replication: Hashable, Sendable {
    /// The socket beside the database.
    case automatic
    /// A socket in this folder.
    case unix(directory: String)
    case tcp(TCPOption)
    case none

    /// - Throws: `ValidationError`.
    init(parsing text: String) throws {
        switch text {
        case "auto":
            self = .automatic
        case "none":
            self = .none
        case _ where text.hasPrefix("unix:"):
            var path = text.dropFirst("unix:".count)
            // The transport takes the folder that the socket is in.
            if path == "socket" { path = "." }
            if path.hasSuffix("/socket") { path = path.dropLast("/socket".count) }
            if path.isEmpty { throw ValidationError("give the path of a socket") }
            self = .unix(directory: String(path))
        case _ where text.hasPrefix("tcp://"):
            self = .tcp(try TCPOption(parsing: text.dropFirst("tcp://".count)))
        case _ where text.hasPrefix("redis://"):
            throw ValidationError("replication over \(text.prefix { $0 != ":" }) is not in this version yet")
        default:
            throw ValidationError("give auto, unix:PATH, tcp://host:port or none")
        }
    }

    /// - Throws: `SocketFolderError` when the folder of the database cannot be entered, or `TCPTransportError`.
    func transport(databasePath: String) throws -> (any ReplicationTransport)? {
        switch self {
        case .automatic: try UnixSocketTransport(besideDatabase: databasePath)
        case .unix(let directory): UnixSocketTransport(directory: directory)
        case .tcp(let option): try option.transport()
        case .none: nil
        }
    }
}

/// `--replication`, for the commands that take part in it.
struct ReplicationOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            """
            How processes hear each other: auto (a socket beside the database, the default), unix:PATH, \
            tcp://host:port or none.
            """,
            valueName: "WAY"),
        transform: Replication.init(parsing:))
    var replication: Replication = .automatic
}

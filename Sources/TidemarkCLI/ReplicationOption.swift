import ArgumentParser
import Foundation
import Tidemark
import TidemarkRedis
import TidemarkReplication

/// How the processes that share a database hear each other.
enum Replication: Hashable, Sendable {
    /// The socket beside a file; LISTEN and NOTIFY of PostgreSQL.
    case automatic
    /// A socket in this folder.
    case unix(directory: String)
    case tcp(TCPURL)
    case redis(RedisAddress)
    case none

    /// - Throws: `ValidationError`.
    init(parsing text: String) throws {
        switch text {
        case "auto":
            self = .automatic
        case "none":
            self = .none
        case _ where text.hasPrefix("unix:"):
            guard let directory = UnixSocketTransport.directory(naming: text.dropFirst("unix:".count)) else {
                throw ValidationError("give the path of a socket")
            }
            self = .unix(directory: directory)
        case _ where text.hasPrefix("tcp://"):
            do { self = .tcp(try TCPURL(parsing: text)) } catch { throw ValidationError("\(error)") }
        case _ where text.hasPrefix("redis://") || text.hasPrefix("rediss://"):
            do { self = .redis(try RedisAddress(parsing: text)) } catch { throw ValidationError("\(error)") }
        default:
            throw ValidationError("give auto, unix:PATH, tcp://host:port, redis://host:port[/CHANNEL] or none")
        }
    }

    /// - Throws: `SocketFolderError` when the folder of the database cannot be entered, or `TCPTransportError`.
    func transport(
        for stream: StreamName, of store: any ProgramStore
    ) throws -> (any ReplicationTransport)? {
        switch self {
        case .automatic:
            return try store.automaticTransport(for: stream)
        case .unix(let directory):
            let transport = Self.unixTransport(directory: directory)
            return ToldTransport(transport, place: "unix:\(directory)") { transport.lastProblem.map { "\($0)" } }
        case .tcp(let url):
            let transport = try TCPTransport(url)
            return ToldTransport(transport, place: "\(url)") {
                transport.lastProblem.map { "\($0)" }
            }
        case .redis(let address):
            let transport = try RedisTransport(address)
            return ToldTransport(transport, place: "\(address.url)") { transport.failure.map { "\($0)" } }
        case .none: return nil
        }
    }

    /// Where everything that is said can be heard, without a database, and how many lines were skipped there so far; nil
    /// where that is nowhere.
    func watchedTransport() throws -> (transport: any ReplicationTransport, skippedLines: @Sendable () -> Int)? {
        switch self {
        case .automatic, .none:
            return nil
        case .unix(let directory):
            let transport = Self.unixTransport(directory: directory)
            return (transport, { transport.counts.skippedLines })
        case .tcp(let url):
            let transport = try TCPTransport(url)
            return (transport, { transport.counts.skippedLines })
        case .redis(let address):
            var configuration = RedisConfiguration()
            configuration.hearsUserIP = true
            let transport = try RedisTransport(address, configuration: configuration)
            return (transport, { transport.counts.skippedLines })
        }
    }

    /// The transport makes the folder, because one of the processes has to be the first; whoever has mistyped its name is
    /// told.
    private static func unixTransport(directory: String) -> UnixSocketTransport {
        let parent = URL(fileURLWithPath: directory).deletingLastPathComponent().path
        if access(directory, F_OK) != 0, errno == ENOENT, access(parent, W_OK) == 0 {
            StandardStreams.writeError(
                "tidemark: there was no folder \(directory), it is made now: only processes that name it too are heard"
                    .onOneLine)
        }
        return UnixSocketTransport(directory: directory)
    }
}

/// `--replication`, for the commands that take part in it.
///
/// It is not parsed as an argument but in ``validate()``: what is wrong with an argument is shown with the argument, and
/// there may be a password in this one.
struct ReplicationOptions: ParsableArguments {
    @Option(
        name: .customLong("replication"),
        help: ArgumentHelp(
            """
            How processes hear each other: auto (a socket beside a file, LISTEN and NOTIFY of PostgreSQL), unix:PATH (a folder \
            for the socket), \
            tcp://host:port, redis://host:port[/CHANNEL] or none (default: TIDEMARK_REPLICATION of the environment, or auto).
            """,
            valueName: "WAY"))
    var way: String?

    /// - Throws: `ValidationError`, or ``InvalidVariable``.
    var replication: Replication {
        get throws {
            if let way { return try Replication(parsing: way) }
            return try ProgramEnvironment.parsed("replication") { try Replication(parsing: $0) } ?? .automatic
        }
    }

    mutating func validate() throws { _ = try replication }
}

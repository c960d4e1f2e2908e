public import Tidemark
public import TidemarkCore
public import TidemarkWire

/// How a ``TCPTransport`` behaves.
public struct TCPConfiguration: Sendable {
    /// Which part a process takes.
    public enum Role: Hashable, Sendable {
        /// It connects; where nobody listens and the address is this machine's, it serves. So the first process on the
        /// machine that the address names serves, and when it ends another one there takes over.
        case either
        /// It only connects.
        case client
        /// It only serves.
        case server
    }

    /// Whether it connects, serves, or does what is needed.
    public var role = Role.either
    /// Times and bounds of each connection: a `PING` every 2 seconds, and 6 seconds of silence.
    public var socket: SocketConfiguration
    /// What the server calls itself, and its clients expect.
    public var serverName = SimpleText.tidemark
    /// Nil: no TLS, and then only addresses of this machine alone (loopback).
    public var tls: TLSFiles?
    /// Between attempts to connect or to serve; with the default, ten take at least 8 seconds.
    public var delays = Backoff(shortest: .milliseconds(200), longest: .seconds(5))

    /// The defaults: either role, without TLS.
    public init() {
        socket = SocketConfiguration()
        socket.pingInterval = .seconds(2)
        socket.silenceLimit = .seconds(6)
    }
}

/// The certificates that instances know each other by, as paths of PEM files. Both sides of a connection show theirs.
public struct TLSFiles: Hashable, Sendable {
    /// This instance's certificate, and then those that sign it up to one that the others trust.
    public var certificateChain: String
    /// The key of the first certificate. Nobody else should be able to read the file.
    public var privateKey: String
    /// Who may sign the certificates of others. Everyone with such a certificate is let in: use an authority of your
    /// own, and no public one.
    public var trustRoots: String

    /// Paths; the files are read when a transport is made of them.
    public init(certificateChain: String, privateKey: String, trustRoots: String) {
        self.certificateChain = certificateChain
        self.privateKey = privateKey
        self.trustRoots = trustRoots
    }
}

/// Why a ``TCPTransport`` cannot be used as it is set up.
public enum TCPTransportError: UnusableTransport, Hashable, Sendable, CustomStringConvertible {
    /// The address can be reached from other machines, and what is said there could be read and made up by anybody.
    case tlsRequired(host: String, address: String)
    /// The files are missing, or are no certificates and key that belong together.
    case unusableTLS(problem: String)
    /// Ports go from 1 to 65535, and 0 is for servers that take any.
    case invalidPort(Int)

    public var description: String {
        switch self {
        case .tlsRequired(let host, let address):
            "\(host) (\(address)) can be reached from other machines: replication over TCP goes beyond loopback only "
                + "with TLS and client certificates; set them, or use 127.0.0.1"
        case .unusableTLS(let problem): "TLS cannot be used with these certificates: \(problem)"
        case .invalidPort(let port): "\(port) is no TCP port: give one from 1 to 65535"
        }
    }
}

public import Logging
import NIOCore
import NIOPosix
public import Tidemark

/// Carries commands between processes that name the same TCP address: one of them, on the machine that has the address,
/// serves it, the others connect to it.
///
/// Nothing has to be chosen: a process connects, and where nobody listens it serves, if the address is its machine's. A
/// server that ends is replaced by another process of its machine; one that is stopped holds the port until it ends,
/// and the others hear each other through the database meanwhile.
///
/// Without TLS only loopback addresses are used, where every user of the machine can connect: use a
/// ``UnixSocketTransport`` where that is not wanted. Beyond loopback both sides show certificates.
public final class TCPTransport: ReplicationTransport {
    private let address: TCPAddress
    private let needsTLS: Bool
    private let link: SharedLink

    /// - Parameters:
    ///   - host: a name or an address. An address such as 0.0.0.0 is for servers only.
    ///   - port: 0 has a server take any; see ``servedPort``.
    /// - Throws: ``TCPTransportError`` when the port or the certificates cannot be used.
    public init(
        host: String, port: Int, configuration: TCPConfiguration = TCPConfiguration(),
        logger: Logger = Logger(label: "tidemark.replication")
    ) throws(TCPTransportError) {
        let address = try TCPAddress(host: host, port: port)
        var tls: TLSContexts?
        if let files = configuration.tls { tls = try TLSContexts(files) }
        self.address = address
        needsTLS = tls == nil
        link = SharedLink { [tls] counts in
            SocketLink(
                configuration: configuration.socket, serverName: configuration.serverName, logger: logger,
                counts: counts
            ) { node in
                TCPMeeting(node: node, address: address, configuration: configuration, tls: tls)
            }
        }
    }

    /// What was skipped or left out so far.
    public var counts: SocketCounts { link.counts.current }

    /// What ended the link, or kept it from being made, the last time; nil once it is there.
    public var lastProblem: SocketProblem? { link.counts.lastProblem }

    /// The port that this process serves; nil while it does not.
    public var servedPort: Int? {
        get async { await link.current?.servedPort }
    }

    /// Takes part until the connection is closed.
    ///
    /// Returns without waiting for other processes; `receive` is told `ReplicationEvent.connected` when the link is
    /// there. The connection has to be closed: the transport's thread goes on until the last one is.
    ///
    /// - Throws: ``TCPTransportError/tlsRequired(host:address:)`` when the address is beyond loopback and there is no
    ///   TLS. A name that stands for no address now may do so later: the transport logs that and goes on trying.
    public func connect(
        as name: InstanceName, receive: @escaping @Sendable (ReplicationEvent) -> Void
    ) async throws -> any ReplicationConnection {
        do {
            _ = try await address.resolve(needsTLS: needsTLS, on: MultiThreadedEventLoopGroup.singleton.next()).get()
        } catch let error as TCPTransportError {
            throw error
        } catch {
            // Nothing but TLS is needed now.
        }
        return await link.connect(as: name, receive: receive)
    }
}

extension TCPTransport {
    /// - Throws: ``TCPTransportError`` when the certificates cannot be used.
    package convenience init(
        _ url: TCPURL, logger: Logger = Logger(label: "tidemark.replication")
    ) throws(TCPTransportError) {
        var configuration = TCPConfiguration()
        configuration.tls = url.tls
        try self.init(host: url.host, port: url.port, configuration: configuration, logger: logger)
    }
}

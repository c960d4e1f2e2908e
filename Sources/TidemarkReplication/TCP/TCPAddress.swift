import NIOCore
import NIOPosix

/// A host, by name or address, and a port.
struct TCPAddress: Hashable, Sendable, CustomStringConvertible {
    let host: String
    let port: Int

    /// - Throws: ``TCPTransportError/invalidPort(_:)``.
    init(host: String, port: Int) throws(TCPTransportError) {
        guard (0...65535).contains(port) else { throw .invalidPort(port) }
        self.host = host
        self.port = port
    }

    /// Whether the host is an address, which stands for itself, or a name of the machine that one is on (RFC 6761,
    /// section 6.3). Any other name is there for other machines too.
    var isMeantForThisMachineAlone: Bool {
        let name = host.lowercased()
        return name == "localhost" || name.hasSuffix(".localhost")
            || (try? SocketAddress(ipAddress: host, port: port)) != nil
    }

    var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    /// What the name stands for now: the first address, so that those who listen and those who connect take the same
    /// one. Asking may take long, so that a thread of its own does.
    ///
    /// - Parameter needsTLS: fails with ``TCPTransportError/tlsRequired(host:address:)`` unless it is loopback.
    func resolve(needsTLS: Bool, on loop: any EventLoop) -> EventLoopFuture<SocketAddress> {
        NIOThreadPool.singleton.runIfActive(eventLoop: loop) { [self] in
            let address = try SocketAddress.makeAddressResolvingHost(host, port: port)
            if needsTLS, !address.isLoopback {
                throw TCPTransportError.tlsRequired(host: host, address: address.ipAddress ?? "\(address)")
            }
            return address
        }
    }
}

extension SocketAddress {
    /// Whether only this machine can reach it: 127.0.0.0/8, or ::1 (RFC 1122, section 3.2.1.3; RFC 4291, section 2.5.3).
    var isLoopback: Bool {
        switch self {
        case .v4: ipAddress?.hasPrefix("127.") ?? false
        case .v6: ipAddress == "::1"
        case .unixDomainSocket: true
        }
    }
}

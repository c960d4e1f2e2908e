#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

import NIOCore

/// Where a client comes from, as far as one who wants to seem to be many cannot choose it.
enum ClientOrigin: Hashable, Sendable {
    /// This machine: a Unix socket, or any loopback address, of which every user of it has millions.
    case thisMachine
    /// An IPv4 address, also where it is written as an IPv6 one.
    case address([UInt8])
    /// The first 64 bits of an IPv6 address: one machine may have all addresses that begin with them (RFC 4291, section
    /// 2.5.4).
    case network([UInt8])
    /// The connection has ended already, so that the system does not say.
    case unknown

    init(_ address: SocketAddress?) {
        switch address {
        case nil:
            self = .unknown
        case .unixDomainSocket:
            self = .thisMachine
        case .v4:
            self = Self.bytes(of: address?.ipAddress, family: AF_INET, count: 4).map(Self.version4) ?? .unknown
        case .v6:
            self = Self.bytes(of: address?.ipAddress, family: AF_INET6, count: 16).map(Self.version6) ?? .unknown
        }
    }

    /// In the order of the network; nil for what is no such address.
    private static func bytes(of text: String?, family: CInt, count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        guard let text, inet_pton(family, text, &bytes) == 1 else { return nil }
        return bytes
    }

    private static func version4(_ bytes: [UInt8]) -> ClientOrigin {
        bytes[0] == 127 ? .thisMachine : .address(bytes)
    }

    private static func version6(_ bytes: [UInt8]) -> ClientOrigin {
        let mapped: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]
        let loopback: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
        if bytes.starts(with: mapped) { return version4(Array(bytes[12...])) }
        return bytes == loopback ? .thisMachine : .network(Array(bytes[..<8]))
    }
}

import Foundation

/// Ports of 127.0.0.1.
enum LoopbackPort {
    /// One that nobody listens on, and that the system will not give to anybody else soon.
    static func free() throws -> Int {
        let descriptor = try socketDescriptor()
        defer { close(descriptor) }
        var address = address(port: 0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withSocketAddress(&address) { pointer in
            bind(descriptor, pointer, length) == 0 && getsockname(descriptor, pointer, &length) == 0
        }
        if !isBound { throw RedisServerFailure.noFreePort }
        return Int(in_port_t(bigEndian: address.sin_port))
    }

    /// Whether somebody takes connections there.
    static func isTaken(_ port: Int) -> Bool {
        guard let descriptor = try? socketDescriptor() else { return false }
        defer { close(descriptor) }
        var address = address(port: in_port_t(port))
        return withSocketAddress(&address) {
            connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
        }
    }

    private static func socketDescriptor() throws -> Int32 {
        #if canImport(Glibc)
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        #else
        let descriptor = socket(AF_INET, SOCK_STREAM, 0)
        #endif
        if descriptor < 0 { throw RedisServerFailure.noFreePort }
        return descriptor
    }

    private static func address(port: in_port_t) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr = in_addr(s_addr: UInt32(INADDR_LOOPBACK).bigEndian)
        return address
    }

    /// Safe: an address of IPv4 is one of the things that a `sockaddr` stands for, and the pointer does not leave.
    private static func withSocketAddress(
        _ address: inout sockaddr_in, _ body: (UnsafeMutablePointer<sockaddr>) -> Bool
    ) -> Bool {
        withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0) }
        }
    }
}

import Foundation
import TestSupport

/// A server of a test, over TCP.
final class HandMadeTCPServer: Sendable {
    private let listener: LoopbackListener

    init() throws { listener = try LoopbackListener() }

    var port: Int { listener.port }

    /// The next client; nil where none comes within the limit.
    func accept(within seconds: Int = 30) async -> HandMadePeer? {
        await onThreadOfItsOwn { self.blockingAccept(within: seconds) }
    }

    private func blockingAccept(within seconds: Int) -> HandMadePeer? {
        var waiting = pollfd(fd: listener.descriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&waiting, 1, Int32(seconds) * 1000) == 1 else { return nil }
        #if canImport(Glibc)
        let client = Glibc.accept(listener.descriptor, nil, nil)
        #else
        let client = Darwin.accept(listener.descriptor, nil, nil)
        #endif
        return HandMadePeer(client)
    }
}

extension HandMadePeer {
    /// Connects to a port of this machine.
    static func client(port: Int) throws -> HandMadePeer {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        address.sin_port = UInt16(port).bigEndian
        let connected = withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        guard connected else { throw POSIXError(.init(rawValue: errno) ?? .EIO) }
        return HandMadePeer(descriptor)
    }
}

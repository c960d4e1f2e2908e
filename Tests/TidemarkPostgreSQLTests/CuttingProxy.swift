import Foundation
import Glibc
import Synchronization
import TestSupport

@testable import TidemarkPostgreSQL

/// Stands between a client and a server on loopback, and cuts a connection just where a test wants it cut.
final class CuttingProxy: Sendable {
    /// Where the connection is cut, once, that asks for something with the text in it.
    enum Place: Sendable, CaseIterable {
        /// The server never hears of the request.
        case beforeRequest
        /// The request is on its way: the server reads it when ``releaseRequest()`` says so, and the client is long gone.
        case inRequest
        /// The server has answered, and the client never hears that.
        case afterAnswer
    }

    private struct State {
        var cut: (place: Place, text: [UInt8])?
        /// The request that is on its way.
        var held: (socket: Int32, request: [UInt8])?
        /// What the server said to nobody.
        var unheard: [UInt8] = []
        var hasCut = false
        var isClosed = false
        var sockets: Set<Int32> = []
        var replacement: (old: [UInt8], new: [UInt8])?
    }

    /// The server, as it is reached through here.
    let port: Int
    private let serverPort: Int
    private let listener: Int32
    private let state = Mutex(State())

    init(to serverPort: Int) throws {
        signal(SIGPIPE, SIG_IGN)
        self.serverPort = serverPort
        (listener, port) = try Self.listen()
        Thread { [self] in
            while true {
                let client = accept(listener, nil, nil)
                guard client >= 0 else {
                    Glibc.close(listener)
                    return
                }
                serve(client)
            }
        }.start()
    }

    /// Ends it, and all connections through it.
    func close() {
        state.withLock { state in
            if state.isClosed { return }
            state.isClosed = true
            shutdown(listener, Int32(SHUT_RDWR))
            for socket in state.sockets { shutdown(socket, Int32(SHUT_RDWR)) }
            if let held = state.held { shutdown(held.socket, Int32(SHUT_RDWR)) }
        }
    }

    /// Cuts the next connection on which something with this text is asked for.
    func cut(_ place: Place, at text: String) {
        state.withLock { state in
            state.cut = (place, Array(text.utf8))
            state.hasCut = false
            state.unheard = []
        }
    }

    /// From now on clients are told the one where the server says the other.
    func replace(_ old: String, with new: String) {
        precondition(old.utf8.count == new.utf8.count, "messages have lengths")
        state.withLock { $0.replacement = (Array(old.utf8), Array(new.utf8)) }
    }

    var hasCut: Bool { state.withLock { $0.hasCut } }

    /// What the server answered to nobody, where it is text.
    var unheard: String { state.withLock { String(decoding: $0.unheard, as: UTF8.self) } }

    /// The request that is on its way arrives.
    func releaseRequest() {
        guard let held = state.withLock({ $0.held.take() }) else { return }
        Self.send(held.request, to: held.socket)
    }

    // MARK: On threads of its own

    private func serve(_ client: Int32) {
        guard let server = try? Self.connect(to: serverPort) else {
            Glibc.close(client)
            return
        }
        let isClosed = state.withLock { state in
            state.sockets.formUnion([client, server])
            return state.isClosed
        }
        if isClosed { shutdown(client, Int32(SHUT_RDWR)) }
        let remaining = Remaining()
        let end = { @Sendable [self] in
            guard remaining.isLast else { return }
            state.withLock { $0.sockets.subtract([client, server]) }
            Glibc.close(client)
            Glibc.close(server)
        }
        let unheard = Unheard()
        Thread { [self] in
            forwardRequests(from: client, to: server, unheard)
            end()
        }.start()
        Thread { [self] in
            forwardAnswers(from: server, to: client, unheard)
            end()
        }.start()
    }

    private func forwardRequests(from client: Int32, to server: Int32, _ unheard: Unheard) {
        while var bytes = Self.receive(from: client) {
            let cut = state.withLock { state -> Place? in
                guard let cut = state.cut, bytes.contains(cut.text) else { return nil }
                state.cut = nil
                return cut.place
            }
            guard let cut else {
                Self.send(bytes, to: server)
                continue
            }
            // Up to the end of the request, which is a message `Sync`.
            while !bytes.ends(with: [UInt8(ascii: "S"), 0, 0, 0, 4]), let more = Self.receive(from: client) {
                bytes += more
            }
            switch cut {
            case .beforeRequest:
                shutdown(server, Int32(SHUT_RDWR))
                hang(up: client)
                return
            case .inRequest:
                unheard.isSet.store(true, ordering: .releasing)
                state.withLock { $0.held = (server, bytes) }
                hang(up: client)
                return
            case .afterAnswer:
                unheard.isSet.store(true, ordering: .releasing)
                Self.send(bytes, to: server)
            }
        }
        // A request that is on its way keeps its connection.
        if !unheard.isSet.load(ordering: .acquiring) { shutdown(server, Int32(SHUT_RDWR)) }
    }

    private func forwardAnswers(from server: Int32, to client: Int32, _ unheard: Unheard) {
        while var bytes = Self.receive(from: server) {
            guard unheard.isSet.load(ordering: .acquiring) else {
                if let replacement = state.withLock({ $0.replacement }),
                    let range = bytes.firstRange(of: replacement.old)
                {
                    bytes.replaceSubrange(range, with: replacement.new)
                }
                Self.send(bytes, to: client)
                continue
            }
            let isWhole = state.withLock { state in
                state.unheard += bytes
                // `ReadyForQuery`, with the state of the transaction.
                return state.unheard.dropLast().ends(with: [UInt8(ascii: "Z"), 0, 0, 0, 5])
            }
            if isWhole { break }
        }
        shutdown(server, Int32(SHUT_RDWR))
        hang(up: client)
    }

    private func hang(up client: Int32) {
        shutdown(client, Int32(SHUT_RDWR))
        state.withLock { $0.hasCut = true }
    }

    private final class Unheard: Sendable {
        let isSet = Atomic(false)
    }

    private final class Remaining: Sendable {
        private let count = Atomic(2)
        var isLast: Bool { count.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == 0 }
    }

    // MARK: Sockets

    private static func listen() throws -> (socket: Int32, port: Int) {
        let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = loopback(0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(socket, $0, length) == 0 && Glibc.listen(socket, 16) == 0 && getsockname(socket, $0, &length) == 0
            }
        }
        guard isBound else { throw TookTooLong("no socket can listen on loopback") }
        return (socket, Int(UInt16(bigEndian: address.sin_port)))
    }

    private static func connect(to port: Int) throws -> Int32 {
        let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = loopback(port)
        let isConnected = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        guard isConnected else {
            Glibc.close(socket)
            throw TookTooLong("nobody listens on \(port)")
        }
        return socket
    }

    private static func loopback(_ port: Int) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        address.sin_port = UInt16(port).bigEndian
        return address
    }

    private static func receive(from socket: Int32) -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = recv(socket, &buffer, buffer.count, 0)
        return count > 0 ? Array(buffer[..<count]) : nil
    }

    private static func send(_ bytes: [UInt8], to socket: Int32) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes { Glibc.send(socket, $0.baseAddress, $0.count, 0) }
            if count <= 0 { return }
            sent += count
        }
    }
}

extension BidirectionalCollection<UInt8> {
    fileprivate func ends(with suffix: [UInt8]) -> Bool { self.suffix(suffix.count).elementsEqual(suffix) }
}

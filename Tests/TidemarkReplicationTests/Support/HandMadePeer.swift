import Foundation
import Testing

@testable import TidemarkReplication

/// A peer that says what a test tells it to: somebody with a plain socket.
final class HandMadePeer: Sendable {
    private let descriptor: CInt

    init(_ descriptor: CInt) {
        self.descriptor = descriptor
        // Plain blocking calls, with a bound.
        _ = fcntl(descriptor, F_SETFL, 0)
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close(descriptor) }

    /// Connects to whoever serves in the folder.
    static func client(in folder: String) throws -> HandMadePeer? {
        try SocketFolder(path: folder).connectedSocket().map { HandMadePeer($0) }
    }

    func write(_ text: String) {
        var bytes = ArraySlice(text.utf8)
        while !bytes.isEmpty {
            let written = bytes.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if written <= 0 { return }
            bytes = bytes.dropFirst(written)
        }
    }

    /// Ends the connection in both directions.
    func end() { shutdown(descriptor, Int32(SHUT_RDWR)) }

    /// What comes until the text is in it, or until the end.
    func read(until text: String? = nil) async -> String {
        await onThreadOfItsOwn { self.blockingRead(until: text) }
    }

    private func blockingRead(until text: String?) -> String {
        var all: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65536)
        while text.map({ !String(decoding: all, as: UTF8.self).contains($0) }) ?? true {
            let count = recv(descriptor, &chunk, chunk.count, 0)
            if count <= 0 { break }
            all += chunk[..<count]
        }
        return String(decoding: all, as: UTF8.self)
    }
}

/// A server that says what a test tells it to.
final class HandMadeServer: Sendable {
    private let descriptor: CInt

    init(in folder: String) throws {
        let opened = try SocketFolder(path: folder)
        let found = opened.identity(ofName: SocketFolder.socketName)
        guard case .serving(let descriptor, _) = try opened.takeOver(replacing: found, ignoringLock: true) else {
            throw CancellationError()
        }
        self.descriptor = descriptor
        _ = fcntl(descriptor, F_SETFL, 0)
    }

    deinit { close(descriptor) }

    /// Takes the next client and says something to it. The caller keeps the client's descriptor open or closes it.
    func accept(saying greeting: String) async -> CInt {
        await onThreadOfItsOwn { self.blockingAccept(saying: greeting) }
    }

    private func blockingAccept(saying greeting: String) -> CInt {
        var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&waiting, 1, 60_000) == 1 else {
            Issue.record("no client came within a minute")
            return -1
        }
        #if canImport(Glibc)
        let client = Glibc.accept(descriptor, nil, nil)
        #else
        let client = Darwin.accept(descriptor, nil, nil)
        #endif
        _ = greeting.withCString { send(client, $0, strlen($0), Int32(MSG_NOSIGNAL)) }
        return client
    }
}

/// Runs what blocks, within a bound of its own, where it takes no thread away from other tests.
func onThreadOfItsOwn<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value {
    await withCheckedContinuation { continuation in
        Thread { continuation.resume(returning: body()) }.start()
    }
}

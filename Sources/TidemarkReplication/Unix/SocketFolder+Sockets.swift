#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

extension SocketFolder {
    enum TakeOver {
        /// The name now stands for this listening socket; the caller owns the descriptor.
        case serving(descriptor: CInt, as: SocketIdentity)
        /// Another process is taking over.
        case lockIsHeld
        /// The name stands for another socket than the one to be replaced.
        case replacedMeanwhile
    }

    /// Connects to the socket; `nil` when nobody listens there.
    ///
    /// Returns a descriptor that the caller owns. Connecting to a Unix socket never waits: where it would, because too
    /// many others are waiting to be accepted, it fails.
    func connectedSocket() throws(SocketFolderError) -> CInt? {
        let descriptor = try Self.makeSocket(path: path)
        let result = try closing(descriptor) { () throws(SocketFolderError) -> CInt in
            try withAddress(ofName: Self.socketName) { address, length in connect(descriptor, address, length) }
        }
        if result == 0 { return descriptor }
        let number = errno
        close(descriptor)
        if number == ECONNREFUSED || number == ENOENT { return nil }
        throw .systemCall(name: "connect", path: "\(path)/\(Self.socketName)", number: number)
    }

    /// Makes a socket and puts it where the name stands for `replaced`, or for nothing when that is `nil`.
    ///
    /// The socket listens before it gets the name, and the name passes from the old socket to the new one atomically:
    /// a client connects to the old one or to the new one. So nothing has to be cleaned up after a crash.
    func takeOver(replacing replaced: SocketIdentity?, ignoringLock: Bool) throws(SocketFolderError) -> TakeOver {
        try checkSocketIsOurs()
        let lock = try ElectionLock(in: self)
        guard lock.isHeld || ignoringLock else { return .lockIsHeld }
        guard identity(ofName: Self.socketName) == replaced else { return .replacedMeanwhile }
        removeLeftovers()

        let name = Self.temporaryPrefix + String(UInt64.random(in: .min ... .max), radix: 16)
        let descriptor = try Self.makeSocket(path: path)
        let own = try closing(descriptor) { () throws(SocketFolderError) -> SocketIdentity in
            #if !canImport(Darwin)
            // Before it is bound, so that there is no moment at which others could connect.
            try check(fchmod(descriptor, 0o600), "fchmod")
            #endif
            let bound = try withAddress(ofName: name) { address, length in bind(descriptor, address, length) }
            try check(bound, "bind")
            #if canImport(Darwin)
            // A socket that is not bound has no mode there; until now the folder's mode protects it.
            try check(fchmodat(self.descriptor, name, 0o600, 0), "fchmodat")
            #endif
            giveToOwner(name: name)
            try check(listen(descriptor, 128), "listen")
            guard let own = identity(ofName: name) else { throw .last("fstatat", path) }
            try check(renameat(self.descriptor, name, self.descriptor, Self.socketName), "rename")
            return own
        }
        return .serving(descriptor: descriptor, as: own)
    }

    private func check(_ result: CInt, _ call: String) throws(SocketFolderError) {
        if result != 0 { throw .last(call, path) }
    }

    /// Closes the descriptor when `body` throws.
    private func closing<R>(
        _ descriptor: CInt, _ body: () throws(SocketFolderError) -> R
    ) throws(SocketFolderError) -> R {
        do {
            return try body()
        } catch {
            close(descriptor)
            throw error
        }
    }

    private static func makeSocket(path: String) throws(SocketFolderError) -> CInt {
        #if canImport(Darwin)
        let descriptor = socket(AF_UNIX, SOCK_STREAM, 0)
        if descriptor >= 0 {
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
            _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        }
        #else
        let kind = CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let descriptor = socket(AF_UNIX, kind, 0)
        #endif
        if descriptor < 0 { throw .last("socket", path) }
        return descriptor
    }

    /// Calls `body` with the address of a name in this folder.
    ///
    /// An address has room for 107 bytes, and a folder's path may be longer. On Linux the address leads through this
    /// process's descriptor of the folder, which is short, and which is the very folder that was checked. Where there is
    /// no `/proc`, a short path will do.
    private func withAddress(
        ofName name: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> CInt
    ) throws(SocketFolderError) -> CInt {
        #if canImport(Darwin)
        let reached = "\(path)/\(name)"
        #else
        let link = "/proc/self/fd/\(descriptor)"
        let reached = (access(link, F_OK) == 0 ? link : path) + "/\(name)"
        #endif
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let limit = MemoryLayout.size(ofValue: address.sun_path) - 1
        guard reached.utf8.count <= limit else { throw .pathTooLong(path: reached, limit: limit) }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: reached.utf8) }
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }
}

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// The folder in which the socket is: opened, and known to be this user's alone.
///
/// Nobody else can enter it, so that nobody else can connect, put a socket of his own into it or take the election lock.
struct SocketFolder: ~Copyable {
    /// With the version of the wire in them: programs that name writers in another way meet elsewhere.
    static let socketName = "socket-2"
    static let lockName = "election-2"
    /// What begins the name of a socket before it gets its own.
    static let temporaryPrefix = "socket-2."

    let path: String
    let descriptor: CInt

    /// Opens the folder; makes it, with mode 0700, when its last component is missing.
    ///
    /// The last component is no symbolic link: whoever may write beside a database could put one there that leads to a
    /// folder of its user's, where files would be made and removed.
    ///
    /// - Throws: ``SocketFolderError``.
    init(path: String) throws(SocketFolderError) {
        // With a slash at the end a link would be followed all the same.
        var path = path[...]
        while path.utf8.count > 1, path.hasSuffix("/") { path.removeLast() }
        try self.init(plainPath: String(path))
    }

    private init(plainPath path: String) throws(SocketFolderError) {
        if mkdir(path, 0o700) != 0, errno != EEXIST { throw .last("mkdir", path) }
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
        if descriptor < 0 {
            let error = SocketFolderError.last("open", path)
            throw Self.isSymbolicLink(path) ? .symbolicLink(path: path) : error
        }
        if let problem = Self.problem(ofFolder: descriptor, at: path) {
            close(descriptor)
            throw problem
        }
        self.path = path
        self.descriptor = descriptor
    }

    /// Looks at what was opened, not at the name, which may stand for something else by now.
    private static func problem(ofFolder descriptor: CInt, at path: String) -> SocketFolderError? {
        var status = stat()
        if fstat(descriptor, &status) != 0 { return .last("fstat", path) }
        if status.st_uid != geteuid() { return .notOwned(path: path, owner: status.st_uid) }
        let permissions = UInt32(status.st_mode) & 0o7777
        return permissions & 0o077 == 0 ? nil : .openToOthers(path: path, mode: permissions)
    }

    private static func isSymbolicLink(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFLNK
    }

    deinit { close(descriptor) }

    /// Which socket the folder's path and the name `socket` lead to; `nil` when they lead to nothing.
    static func socketIdentity(inFolder path: String) -> SocketIdentity? {
        identity(ofName: socketName, in: AT_FDCWD, prefix: path + "/")
    }

    /// Which file a name in this folder stands for.
    func identity(ofName name: String) -> SocketIdentity? {
        Self.identity(ofName: name, in: descriptor, prefix: "")
    }

    private static func identity(ofName name: String, in descriptor: CInt, prefix: String) -> SocketIdentity? {
        var status = stat()
        guard fstatat(descriptor, prefix + name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { return nil }
        #if canImport(Darwin)
        let made = status.st_mtimespec
        #else
        let made = status.st_mtim
        #endif
        return SocketIdentity(
            device: UInt64(truncatingIfNeeded: status.st_dev), inode: UInt64(truncatingIfNeeded: status.st_ino),
            madeSeconds: Int64(made.tv_sec), madeNanoseconds: Int64(made.tv_nsec))
    }

    /// Whether what a name in this folder stands for is a socket of this user.
    private func isOwnSocket(_ name: String) -> Bool {
        var status = stat()
        return fstatat(descriptor, name, &status, AT_SYMLINK_NOFOLLOW) == 0
            && status.st_mode & S_IFMT == S_IFSOCK && status.st_uid == geteuid()
    }

    /// Throws where the name of the socket is taken by something that no process of this package made. A server makes
    /// the lock before it makes its socket, so a socket without one is another program's.
    func checkSocketIsOurs() throws(SocketFolderError) {
        guard identity(ofName: Self.socketName) != nil else { return }
        guard isOwnSocket(Self.socketName), identity(ofName: Self.lockName) != nil else {
            throw .nameIsTaken(path: "\(path)/\(Self.socketName)")
        }
    }

    /// Removes sockets that were bound and never got their name, because their process ended in between. Nothing else
    /// is removed, whatever it is called.
    func removeLeftovers() {
        // A descriptor of its own: reading a directory moves the position of the descriptor it reads from.
        let listing = openat(descriptor, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard listing >= 0 else { return }
        guard let entries = fdopendir(listing) else {
            close(listing)
            return
        }
        defer { closedir(entries) }
        while let entry = readdir(entries) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { field in
                field.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: field.pointee)) {
                    String(cString: $0)
                }
            }
            if Self.isTemporary(name), isOwnSocket(name) { unlinkat(descriptor, name, 0) }
        }
    }

    /// Whether ``takeOver(replacing:ignoringLock:)`` makes names like this one.
    private static func isTemporary(_ name: String) -> Bool {
        guard name.utf8.starts(with: temporaryPrefix.utf8) else { return false }
        let digits = name.utf8.dropFirst(temporaryPrefix.utf8.count)
        return (1...16).contains(digits.count)
            && digits.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    }
}

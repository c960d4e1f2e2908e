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
    /// - Throws: ``SocketFolderError``.
    init(path: String) throws(SocketFolderError) {
        if mkdir(path, 0o700) != 0, errno != EEXIST { throw .last("mkdir", path) }
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if descriptor < 0 { throw .last("open", path) }
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

    /// Removes sockets that were bound and never got their name, because their process ended in between.
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
            if name.utf8.starts(with: Self.temporaryPrefix.utf8) { unlinkat(descriptor, name, 0) }
        }
    }
}

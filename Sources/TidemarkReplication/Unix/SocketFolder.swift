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
/// Root may use the folder of a database that belongs to a service: what it makes there belongs to the service too.
struct SocketFolder: ~Copyable {
    /// With the version of the wire in them: programs that name writers in another way meet elsewhere.
    static let socketName = "socket-2"
    static let lockName = "election-2"
    /// What begins the name of a socket before it gets its own.
    static let temporaryPrefix = "socket-2."

    let path: String
    let descriptor: CInt
    /// The permissions that the folder had, where others could enter it until now.
    let formerMode: UInt32?
    /// The user that owns the folder.
    private let owner: (user: uid_t, group: gid_t)

    /// Opens the folder; makes it, with mode 0700, when its last component is missing.
    ///
    /// The last component is no symbolic link: whoever may write beside a database could put one there that leads to a
    /// folder of its user's, where files would be made and removed.
    ///
    /// - Parameter database: the file that the folder is beside, in whose folder nothing but this package's files are:
    ///   when others can enter it, it is made its owner's alone again.
    /// - Throws: ``SocketFolderError``.
    init(path: String, besideDatabase database: String? = nil) throws(SocketFolderError) {
        // With a slash at the end a link would be followed all the same.
        var path = path[...]
        while path.utf8.count > 1, path.hasSuffix("/") { path.removeLast() }
        try self.init(plainPath: String(path), besideDatabase: database)
    }

    private init(plainPath path: String, besideDatabase database: String?) throws(SocketFolderError) {
        let isNew = mkdir(path, 0o700) == 0
        if !isNew, errno != EEXIST { throw .last("mkdir", path) }
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
        if descriptor < 0 {
            let error = SocketFolderError.last("open", path)
            throw Self.isSymbolicLink(path) ? .symbolicLink(path: path) : error
        }
        var status = stat()
        if isNew, let database, geteuid() == 0, stat(database, &status) == 0 {
            _ = fchown(descriptor, status.st_uid, status.st_gid)
        }
        // What was opened counts, not the name, which may stand for something else by now.
        guard fstat(descriptor, &status) == 0 else {
            let error = SocketFolderError.last("fstat", path)
            close(descriptor)
            throw error
        }
        let mode = UInt32(status.st_mode) & 0o7777
        let isOpen = mode & 0o077 != 0
        let isMended = isOpen && database != nil && fchmod(descriptor, 0o700) == 0
        let isOurs = status.st_uid == geteuid() || database != nil && geteuid() == 0
        guard isOurs, !isOpen || isMended else {
            close(descriptor)
            throw isOurs ? .openToOthers(path: path, mode: mode) : .notOwned(path: path, owner: status.st_uid)
        }
        self.path = path
        self.descriptor = descriptor
        owner = (status.st_uid, status.st_gid)
        formerMode = isMended ? mode : nil
    }

    private static func isSymbolicLink(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFLNK
    }

    deinit { close(descriptor) }

    /// Gives a file of this folder to the folder's owner, where root has made it.
    func giveToOwner(_ file: CInt) {
        if geteuid() == 0, owner.user != 0 { _ = fchown(file, owner.user, owner.group) }
    }

    /// The same for a name in this folder.
    func giveToOwner(name: String) {
        if geteuid() == 0, owner.user != 0 {
            _ = fchownat(descriptor, name, owner.user, owner.group, AT_SYMLINK_NOFOLLOW)
        }
    }

    /// The socket that the folder's path and the socket's name lead to; `nil` when they lead to nothing.
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

    /// Whether what a name in this folder stands for is a socket of the folder's owner, or of this user.
    private func isOwnSocket(_ name: String) -> Bool {
        var status = stat()
        return fstatat(descriptor, name, &status, AT_SYMLINK_NOFOLLOW) == 0
            && status.st_mode & S_IFMT == S_IFSOCK && [owner.user, geteuid()].contains(status.st_uid)
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

/// Which socket a name in the folder stands for.
///
/// The device and inode alone would not do: the number of an inode that is gone is given to the next file.
struct SocketIdentity: Hashable, Sendable {
    let device: UInt64
    let inode: UInt64
    let madeSeconds: Int64
    let madeNanoseconds: Int64
}

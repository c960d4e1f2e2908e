#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

import CFileIdentity

/// Which file it is, whatever its name. Another file does not get the same one while this one is open.
struct FileIdentity: Hashable, Sendable {
    private let device: UInt64
    private let inode: UInt64

    /// Nil when there is no such file. Nothing is opened.
    init?(path: String) {
        var identity = file_identity()
        guard path.withCString({ file_identity_of($0, &identity) }) == 0 else { return nil }
        self.init(identity)
    }

    fileprivate init(_ identity: file_identity) {
        device = identity.device
        inode = identity.inode
    }
}

/// When a file was written to last, and how large it is.
struct FileStamp: Hashable, Sendable {
    private let seconds: Int64
    private let nanoseconds: UInt32
    private let size: UInt64

    /// With the file's identity, in one look; nil when there is no such file.
    static func of(_ path: String) -> (identity: FileIdentity, stamp: FileStamp)? {
        var identity = file_identity()
        var stamp = file_stamp()
        guard path.withCString({ file_identity_and_stamp_of($0, &identity, &stamp) }) == 0 else { return nil }
        return (
            FileIdentity(identity),
            FileStamp(seconds: stamp.seconds, nanoseconds: stamp.nanoseconds, size: stamp.size)
        )
    }
}

/// Whose a file is.
///
/// A process of root may make files beside a database that belongs to a service. They get the owner that the database
/// has, as SQLite gives it to its `-wal` and `-shm` files: otherwise the service could not use them afterwards.
struct FileOwner: Hashable, Sendable {
    let user: uid_t
    let group: gid_t

    /// Nil when there is no such file.
    init?(path: String) {
        var information = stat()
        guard stat(path, &information) == 0 else { return nil }
        (user, group) = (information.st_uid, information.st_gid)
    }

    /// Gives the file to this owner, if this process is root's. Nobody else can, and what somebody else makes is his.
    func take(_ descriptor: Int32) {
        guard geteuid() == 0 else { return }
        var information = stat()
        guard fstat(descriptor, &information) == 0 else { return }
        if information.st_uid == user, information.st_gid == group { return }
        // Where root may not either, as within some containers, the file stays root's.
        _ = fchown(descriptor, user, group)
    }
}

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

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

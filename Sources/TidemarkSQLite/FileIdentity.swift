#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Which file it is, whatever its name. Another file does not get the same one while this one is open.
struct FileIdentity: Hashable, Sendable {
    private let device: UInt64
    private let inode: UInt64

    /// Nil when there is no such file. Nothing is opened.
    init?(path: String) {
        var information = stat()
        guard stat(path, &information) == 0 else { return nil }
        device = UInt64(truncatingIfNeeded: information.st_dev)
        inode = UInt64(truncatingIfNeeded: information.st_ino)
    }
}

import CFileIdentity

/// Which file it is, whatever its name. Another file does not get the same one while this one is open.
struct FileIdentity: Hashable, Sendable {
    private let device: UInt64
    private let inode: UInt64

    /// Nil when there is no such file. Nothing is opened.
    init?(path: String) {
        var identity = file_identity()
        guard path.withCString({ file_identity_of($0, &identity) }) == 0 else { return nil }
        device = identity.device
        inode = identity.inode
    }
}

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// The lock that keeps two processes from taking over at the same moment, released when the value goes.
///
/// It is asked for without waiting. The system releases it when its holder ends, however that happens.
struct ElectionLock: ~Copyable {
    let isHeld: Bool
    private let descriptor: CInt

    init(in folder: borrowing SocketFolder) throws(SocketFolderError) {
        let flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW
        descriptor = openat(folder.descriptor, SocketFolder.lockName, flags, 0o600)
        if descriptor < 0 { throw .last("open", "\(folder.path)/\(SocketFolder.lockName)") }
        folder.giveToOwner(descriptor)
        isHeld = flock(descriptor, LOCK_EX | LOCK_NB) == 0
    }

    deinit { close(descriptor) }
}

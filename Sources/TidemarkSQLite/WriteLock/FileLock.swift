#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif
import Tidemark

/// An exclusive lock that processes, and instances of this class in one process, take in turns.
///
/// It is `flock` on a file of its own, never on one of SQLite's: an flock belongs to the open file description, so it
/// ends with the process, and two instances on one file exclude each other within a process as well.
final class FileLock: Sendable {
    private let descriptor: Int32

    /// Makes the file, for its owner alone, where it is missing.
    ///
    /// - Parameter owner: who gets the file where root makes it.
    /// - Throws: ``TidemarkError/storeUnavailable(store:problem:)``.
    init(path: String, owner: FileOwner? = nil) throws {
        descriptor = retryingInterrupted { open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600) }
        if descriptor < 0 {
            throw TidemarkError.storeUnavailable(store: path, problem: "cannot open the lock file: \(lastErrorText())")
        }
        owner?.take(descriptor)
    }

    deinit { close(descriptor) }

    /// Takes the lock if nobody has it.
    func tryLock() -> Bool {
        retryingInterrupted { flock(descriptor, LOCK_EX | LOCK_NB) } == 0
    }

    /// Blocks the thread until the lock is there, without any limit. Taking it again while holding it does nothing.
    func lock() {
        // Without a signal, an exclusive flock on a descriptor that is open fails only when the kernel has no memory
        // for it. Then there is no order to wait for, and the locks serve order only.
        _ = retryingInterrupted { flock(descriptor, LOCK_EX) }
    }

    func unlock() {
        _ = retryingInterrupted { flock(descriptor, LOCK_UN) }
    }
}

/// Repeats a system call that a signal interrupted.
func retryingInterrupted(_ call: () -> Int32) -> Int32 {
    while true {
        let result = call()
        if result != -1 || errno != EINTR { return result }
    }
}

/// What the last system call that failed says for people.
func lastErrorText() -> String {
    String(cString: strerror(errno))
}

/// Whether the path itself, and not what it may lead to, is a symbolic link.
func isSymbolicLink(_ path: String) -> Bool {
    var information = stat()
    return lstat(path, &information) == 0 && information.st_mode & S_IFMT == S_IFLNK
}

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif
import Foundation
import Synchronization

/// Shows the other processes that use a database whether this one lives, and tells whether another one does.
///
/// Each store that writes keeps a file of its own locked in the folder `processes`, and its writers' rows name the
/// file. The kernel drops the lock with the process, however it ends. The lock is `flock`, which belongs to the open
/// file: two stores of one process are told apart as well, and no file of SQLite's is touched. (A child that was forked
/// and runs no other program holds it too: then only silence shows that the parent is gone.)
///
/// A file that is not there means that its process is gone: a process that finds one without a lock removes it. Files that
/// were removed under a process that lives are made again at its next heartbeat.
final class ProcessFile: Sendable {
    private struct State {
        var held: (name: String, descriptor: Int32)?
        var isReleased = false
    }

    private let folder: String
    private let owner: FileOwner?
    private let state = Mutex(State())

    /// - Parameters:
    ///   - directory: the folder beside the database.
    ///   - owner: who gets the files where root makes them.
    init(directory: String, owner: FileOwner? = nil) {
        folder = directory + "/processes"
        self.owner = owner
    }

    deinit { release() }

    /// The name of the file that this store keeps locked, made where it is missing. Nil where it cannot be made: then
    /// only silence shows that the process is gone.
    func name() -> String? {
        state.withLock { state in
            if state.isReleased { return nil }
            if let held = state.held {
                if Self.hasName(held.descriptor) { return held.name }
                close(held.descriptor)
            }
            state.held = make()
            return state.held?.name
        }
    }

    /// After this nothing may be written: the others take the process for gone.
    func release() {
        let held = state.withLock { state in
            state.isReleased = true
            defer { state.held = nil }
            return state.held
        }
        guard let held else { return }
        unlink(folder + "/" + held.name)
        close(held.descriptor)
    }

    /// Whether nobody holds this file any more; false where that cannot be told. Its process is the one that wrote the
    /// name down after it had locked the file.
    ///
    /// - Parameter removes: whether a file that nobody holds is removed.
    func isGone(_ name: String, removes: Bool) -> Bool {
        guard Self.isValid(name), state.withLock({ $0.held?.name }) != name else { return false }
        let path = folder + "/" + name
        let descriptor = retryingInterrupted { open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) }
        // Without its folder the file says nothing. Any other failure, too many open files for one, is no evidence.
        if descriptor < 0 { return errno == ENOENT && access(folder, F_OK) == 0 }
        defer { close(descriptor) }
        // Shared, so that two who look at once do not take each other for the process.
        guard retryingInterrupted({ flock(descriptor, LOCK_SH | LOCK_NB) }) == 0 else { return false }
        if removes { unlink(path) }
        return true
    }

    /// Removes what processes that are gone have left, and nothing else. A file that is being made may be removed too:
    /// whoever makes it finds out, and makes another.
    private func removeStale() {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        for name in names where Self.isValid(name) {
            let path = folder + "/" + name
            let descriptor = retryingInterrupted { open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) }
            guard descriptor >= 0 else { continue }
            if Self.isProcessFile(descriptor), retryingInterrupted({ flock(descriptor, LOCK_SH | LOCK_NB) }) == 0 {
                unlink(path)
            }
            close(descriptor)
        }
    }

    private func make() -> (name: String, descriptor: Int32)? {
        guard makeFolder() else { return nil }
        removeStale()
        for _ in 0..<8 {
            let name = String(UInt64.random(in: 0 ... .max), radix: 36)
            let descriptor = retryingInterrupted {
                open(folder + "/" + name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
            }
            guard descriptor >= 0 else { return nil }
            fchmod(descriptor, 0o600)
            owner?.take(descriptor)
            let isLocked = retryingInterrupted { flock(descriptor, LOCK_EX | LOCK_NB) } == 0
            if isLocked, Self.hasName(descriptor) { return (name, descriptor) }
            close(descriptor)
        }
        return nil
    }

    private func makeFolder() -> Bool {
        let isNew = mkdir(folder, 0o700) == 0
        guard isNew || errno == EEXIST else { return false }
        let descriptor = retryingInterrupted { open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) }
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        // Whatever the umask took away.
        if isNew { fchmod(descriptor, 0o700) }
        owner?.take(descriptor)
        return true
    }

    private static func hasName(_ descriptor: Int32) -> Bool {
        var information = stat()
        return fstat(descriptor, &information) == 0 && information.st_nlink > 0
    }

    /// Whether it is an empty file, as processes make them here.
    private static func isProcessFile(_ descriptor: Int32) -> Bool {
        var information = stat()
        return fstat(descriptor, &information) == 0 && information.st_mode & S_IFMT == S_IFREG
            && information.st_size == 0
    }

    /// Names are made of digits and letters here; what else is in a row leads nowhere.
    private static func isValid(_ name: String) -> Bool {
        !name.isEmpty && name.utf8.allSatisfy { (48...57).contains($0) || (97...122).contains($0) }
    }
}

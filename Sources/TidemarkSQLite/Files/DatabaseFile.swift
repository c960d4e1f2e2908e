#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif
import CFileIdentity
import Tidemark

/// Where a database is: its file under the one name that all processes agree on, and the folder beside it.
///
/// The file is never opened here: closing any descriptor of it would drop the locks that SQLite holds on it in this
/// process (https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_).
struct DatabaseFile: Hashable, Sendable {
    /// Absolute, without symbolic links, so that two names of one file share its locks.
    let path: String

    /// The folder of the lock files and the socket.
    var directory: String { path + "-tidemark" }

    /// - Throws: ``TidemarkError/storeUnavailable(store:problem:)`` when the folder of the file does not exist, and
    ///   ``TidemarkError/notADatabase(store:problem:)`` for what SQLite elsewhere takes for something else than the name
    ///   of a file.
    init(resolving path: String) throws {
        if path == ":memory:" {
            throw TidemarkError.notADatabase(
                store: path,
                problem: "processes share a file: give the path of one, in a temporary folder where it need not last")
        }
        if path.hasPrefix("file:") {
            throw TidemarkError.notADatabase(
                store: path, problem: "this is a URI: give the path of the file alone, without \"file:\" and options")
        }
        self.path = try Self.resolved(path, remainingLinks: 32)
    }

    var exists: Bool { identity != nil }

    /// Which file has the name now; nil when none has.
    var identity: FileIdentity? { FileIdentity(path: path) }

    /// A file has one `-wal` for each of its names: a process that writes under one name does not see what was written under
    /// the other, and each takes the other's commits away.
    ///
    /// - Throws: ``TidemarkError/notADatabase(store:problem:)``.
    func requireOneName() throws {
        var names = file_names()
        guard path.withCString({ file_names_of($0, &names) }) == 0 else { return }
        if names.links > 1, removeDrafts() {
            guard path.withCString({ file_names_of($0, &names) }) == 0 else { return }
        }
        if names.links > 1 {
            throw TidemarkError.notADatabase(
                store: path,
                problem:
                    "the file has \(names.links) names (hard links), each with a -wal of its own: remove the others, "
                    + "or use a symbolic link")
        }
        if names.is_mount != 0 {
            throw TidemarkError.notADatabase(
                store: path,
                problem:
                    "the file is mounted alone, without the -wal that belongs to it: mount the folder that it is in")
        }
    }

    /// SQLite deletes the `-wal` of a database that is empty, and everything that was committed to it.
    ///
    /// - Throws: ``TidemarkError/notADatabase(store:problem:)``.
    func requireNoLostLog() throws {
        // In this order: the `-wal` of a new database is made after it.
        guard size(of: path + "-wal") ?? 0 > 0, size(of: path) ?? 0 == 0 else { return }
        throw TidemarkError.notADatabase(
            store: path,
            problem: "it is \(exists ? "empty" : "not there"), but there is its -wal: put the database back that "
                + "belongs to it, or move the -wal away")
    }

    private func size(of path: String) -> Int64? {
        var information = stat()
        return stat(path, &information) == 0 ? Int64(information.st_size) : nil
    }

    /// The user that the files beside the database have to belong to: the database's owner, or its folder's before it is there.
    var owner: FileOwner? { FileOwner(path: path) ?? FileOwner(path: Self.folder(of: path)) }

    /// Makes the folder beside the database, for its owner alone. One that is there is made his alone again: platforms
    /// that run containers open all folders of a volume to a group. A symbolic link is not taken for it: whoever put it
    /// there may have it lead to somebody else's files.
    ///
    /// - Returns: the permissions that an existing folder had, where they had to be changed.
    /// - Throws: ``TidemarkError/readOnly(store:)`` where this process must not, or
    ///   ``TidemarkError/storeUnavailable(store:problem:)``.
    func makeDirectory() throws -> UInt32? {
        let isNew = mkdir(directory, 0o700) == 0
        if !isNew, errno != EEXIST {
            if errno == EACCES, !exists { throw failure(Self.mayNot("make a file in", Self.folder(of: path))) }
            if errno == EACCES || errno == EROFS { throw TidemarkError.readOnly(store: path) }
            throw failure("cannot make the folder \(directory): \(lastErrorText())")
        }
        let descriptor = retryingInterrupted { open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) }
        guard descriptor >= 0 else {
            if isSymbolicLink(directory) {
                throw failure("\(directory) is a symbolic link: remove it, a folder is made in its place")
            }
            guard access(directory, R_OK) != 0, errno == EACCES, let user = FileOwner(path: directory)?.user else {
                throw failure("the folder \(directory) cannot be used: \(lastErrorText())")
            }
            throw failure(
                "the folder \(directory) belongs to the user with number \(user) alone: it is to have the owner of "
                    + "the database, as whom every process that writes should run")
        }
        defer { close(descriptor) }
        owner?.take(descriptor)
        var information = stat()
        guard fstat(descriptor, &information) == 0 else { return nil }
        let permissions = UInt32(information.st_mode) & 0o7777
        guard permissions != 0o700, [0, information.st_uid].contains(geteuid()), fchmod(descriptor, 0o700) == 0 else {
            return nil
        }
        return isNew ? nil : permissions
    }

    /// The lock under which stores open and close their connections, one after the other.
    func openLock() throws -> FileLock { try FileLock(path: directory + "/open.lock", owner: owner) }

    /// A name that is lost with the power would take every event with it.
    func syncFolder() {
        let folder = retryingInterrupted { open(Self.folder(of: path), O_RDONLY | O_CLOEXEC) }
        guard folder >= 0 else { return }
        fsync(folder)
        close(folder)
    }

    func failure(_ problem: String) -> TidemarkError {
        .storeUnavailable(store: path, problem: problem)
    }

    private static func resolved(_ path: String, remainingLinks: Int) throws -> String {
        if let whole = realPath(path) { return whole }
        if let target = linkTarget(path), remainingLinks > 0 {
            // A link to a file that is not there yet: the file will be where the link points.
            let isAbsolute = target.utf8.first == UInt8(ascii: "/")
            return try resolved(
                isAbsolute ? target : folder(of: path) + "/" + target, remainingLinks: remainingLinks - 1)
        }
        let folder = folder(of: path)
        guard let parent = realPath(folder) else {
            let number = errno
            let problem =
                switch number {
                case ENOENT: "there is no folder \(folder): make it first"
                case EACCES:
                    whyClosed(folder) ?? "the folder \(folder) cannot be used: \(String(cString: strerror(number)))"
                default: "the folder \(folder) cannot be used: \(String(cString: strerror(number)))"
                }
            throw TidemarkError.storeUnavailable(store: path, problem: problem)
        }
        let name = path.split(separator: "/", omittingEmptySubsequences: false).last ?? ""
        guard !name.isEmpty, name != ".", name != ".." else {
            throw TidemarkError.storeUnavailable(store: path, problem: "this is not the name of a file")
        }
        return (parent == "/" ? "" : parent) + "/" + name
    }

    static func folder(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    private static func realPath(_ path: String) -> String? {
        guard let result = realpath(path, nil) else { return nil }
        defer { free(result) }
        return String(cString: result)
    }

    private static func linkTarget(_ path: String) -> String? {
        withUnsafeTemporaryAllocation(byteCount: Int(PATH_MAX), alignment: 1) { buffer in
            guard let start = buffer.baseAddress else { return nil }
            let count = readlink(path, start.assumingMemoryBound(to: CChar.self), buffer.count)
            return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
        }
    }
}

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif
import CFileIdentity
import GRDB
import GRDBSQLite
import Tidemark

/// The file that a backup becomes: first a draft beside it, which gets the name when it is whole and was checked.
///
/// So a file of that name is a whole backup. A backup that fails removes its draft; a process that is killed leaves one, and
/// the next backup of that name says so.
struct BackupFile: Sendable {
    /// The database that is copied, for what is said of it.
    let source: String
    let file: DatabaseFile

    var draft: String { file.path + "-draft" }

    /// The suffixes of the files that SQLite makes beside a database.
    private static let suffixes = ["-wal", "-shm", "-journal"]

    /// - Throws: ``TidemarkError/backupRefused(store:file:problem:)``,
    ///   ``TidemarkError/storeUnavailable(store:problem:)`` where the folder cannot be used.
    init(_ path: String, of source: DatabaseFile) throws {
        file = try DatabaseFile(resolving: path)
        self.source = source.path
        if let own = source.identity, own == file.identity {
            throw refusal("it is the database itself: name another file")
        }
        // SQLite would take it for its own.
        if Self.suffixes.contains(where: { file.path == source.path + $0 }) || file.path == source.directory
            || file.path.hasPrefix(source.directory + "/")
        {
            throw refusal("this name belongs to the database: name another file")
        }
        if isThere(file.path) { throw refusal("it exists: name a file that is not there yet") }
        if let left = ([file.directory] + Self.suffixes.map { file.path + $0 }).first(where: isThere) {
            throw refusal(
                "\(left) is there, which was another database's of that name: remove it, or name another file")
        }
    }

    func refusal(_ problem: String) -> TidemarkError {
        .backupRefused(store: source, file: file.path, problem: problem)
    }

    /// Also where a symbolic link leads nowhere.
    private func isThere(_ path: String) -> Bool {
        var information = stat()
        return lstat(path, &information) == 0
    }

    /// Makes the draft, empty, for its owner alone, whatever the umask says.
    func makeDraft() throws {
        let descriptor = retryingInterrupted { open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600) }
        if descriptor < 0, errno == EEXIST {
            throw refusal(
                "\(draft) is there: another backup of that name is under way, or one was killed; then remove that file")
        }
        if descriptor < 0, [ENOSPC, EDQUOT].contains(errno) { throw TidemarkError.storeFull(store: file.path) }
        guard descriptor >= 0 else { throw file.failure("the file cannot be made: \(lastErrorText())") }
        fchmod(descriptor, 0o600)
        close(descriptor)
        // A backup that was killed leaves these files, and a person may have removed the draft alone.
        for suffix in Self.suffixes { unlink(draft + suffix) }
    }

    var draftBytes: Int64 {
        var information = stat()
        return stat(draft, &information) == 0 ? Int64(information.st_size) : 0
    }

    func removeDraft() {
        for suffix in [""] + Self.suffixes { unlink(draft + suffix) }
    }

    /// Gives the draft its name, durably, unless somebody has taken it meanwhile. No connection has it open any more.
    func publish() throws {
        guard access(draft + "-wal", F_OK) != 0 else {
            throw file.failure("the copy could not be closed as one whole file")
        }
        let descriptor = retryingInterrupted { open(draft, O_RDONLY | O_CLOEXEC) }
        guard descriptor >= 0 else { throw file.failure("the copy is gone: \(lastErrorText())") }
        let isWritten = fsync(descriptor) == 0
        let problem = lastErrorText()
        close(descriptor)
        guard isWritten else { throw file.failure("the copy cannot be written to the disk: \(problem)") }
        if file_rename_to_new(draft, file.path) != 0 {
            if errno == EEXIST { throw refusal("somebody has made a file of that name meanwhile") }
            // Where the file system cannot do it in one step.
            guard link(draft, file.path) == 0 else {
                if errno == EEXIST { throw refusal("somebody has made a file of that name meanwhile") }
                throw file.failure("the copy cannot be given its name: \(lastErrorText())")
            }
            unlink(draft)
        }
        file.syncFolder()
    }

    /// What went wrong with the copy. SQLite calls it a full disk only where the system does.
    func error(_ error: any Error, _ db: Database? = nil) -> any Error {
        guard let error = error as? DatabaseError else { return error }
        if error.resultCode == .SQLITE_FULL { return TidemarkError.storeFull(store: file.path) }
        if error.resultCode == .SQLITE_IOERR, let db, [ENOSPC, EDQUOT, EFBIG].contains(db.systemError) {
            return TidemarkError.storeFull(store: file.path)
        }
        return TidemarkError.storeUnavailable(
            store: file.path, problem: error.message ?? "SQLite error \(error.extendedResultCode.rawValue)")
    }
}

extension Database {
    /// The error number of the last system call that failed for this connection.
    fileprivate var systemError: Int32 {
        let last = errno
        let kept = sqlite3_system_errno(sqliteConnection)
        return kept == 0 ? last : kept
    }
}

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif
import CFileIdentity
import Foundation
import Tidemark

/// How the file of a new database comes to be: first under another name, a draft.
extension DatabaseFile {
    private static var draftPrefix: String { "new." }

    /// Makes an empty file for its owner alone, whatever the umask says, unless it is there. SQLite takes an empty file
    /// for a new database, and gives its `-wal` and `-shm` files the permissions of the database.
    ///
    /// The file is made and closed under another name and then gets its own: under that no descriptor is ever closed.
    func makeFile() throws {
        let draft = directory + "/" + Self.draftPrefix + "\(getpid())"
        unlink(draft)
        let descriptor = retryingInterrupted { open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600) }
        guard descriptor >= 0 else { throw failure("cannot make a file in \(directory): \(lastErrorText())") }
        fchmod(descriptor, 0o600)
        owner?.take(descriptor)
        close(descriptor)
        defer { unlink(draft) }
        // A file system that has no links has no permissions either: there SQLite makes the file by itself.
        guard
            file_rename_to_new(draft, path) == 0 || errno == EEXIST || link(draft, path) == 0
                || [EEXIST, EPERM, EOPNOTSUPP].contains(errno)
        else {
            throw failure("cannot make the file: \(lastErrorText())")
        }
        syncFolder()
    }

    /// Takes the names of drafts away that the file has beside its own. A process that was killed between giving the file
    /// its own name and taking the draft's away has left it with both.
    ///
    /// - Returns: whether there were any, and they are gone.
    func removeDrafts() -> Bool {
        var information = stat()
        guard stat(path, &information) == 0, !isSymbolicLink(directory) else { return false }
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        var areRemoved = false
        for name in names where Self.isDraft(name) {
            var draft = stat()
            guard lstat(directory + "/" + name, &draft) == 0, draft.st_mode & S_IFMT == S_IFREG,
                draft.st_dev == information.st_dev, draft.st_ino == information.st_ino
            else { continue }
            areRemoved = unlink(directory + "/" + name) == 0 || errno == ENOENT || areRemoved
        }
        return areRemoved
    }

    /// The prefix, and the number of a process.
    private static func isDraft(_ name: String) -> Bool {
        guard name.hasPrefix(draftPrefix) else { return false }
        let number = name.utf8.dropFirst(draftPrefix.utf8.count)
        return !number.isEmpty && number.allSatisfy { (48...57).contains($0) }
    }
}

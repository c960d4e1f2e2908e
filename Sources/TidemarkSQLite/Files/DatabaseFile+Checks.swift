#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif
import Tidemark

/// SQLite says the same of everything that it cannot open: "unable to open database file".
extension DatabaseFile {
    /// Nothing where there is no file yet.
    ///
    /// - Throws: ``TidemarkError/notADatabase(store:problem:)`` for a folder or a device,
    ///   ``TidemarkError/storeUnavailable(store:problem:)`` for a file that this user may not read, or that is in a folder
    ///   that he may not enter: then nobody can tell whether it is there.
    func checkReadable() throws {
        var information = stat()
        guard stat(path, &information) == 0 else {
            if errno == EACCES, let problem = Self.whyClosed(Self.folder(of: path)) { throw failure(problem) }
            return
        }
        switch information.st_mode & S_IFMT {
        case S_IFREG: break
        case S_IFDIR:
            throw TidemarkError.notADatabase(store: path, problem: "it is a folder; give the path of a file")
        default:
            throw TidemarkError.notADatabase(store: path, problem: "it is a device, a pipe or a socket, not a file")
        }
        if let problem = Self.whyUnreadable(path) {
            throw TidemarkError.storeUnavailable(store: path, problem: problem)
        }
    }

    /// What keeps a file that may be read from being opened all the same; nil where that is something else.
    var problemBeside: TidemarkError? {
        if let problem = Self.whyUnreadable(path + "-wal") ?? Self.whyUnreadable(path + "-shm") {
            return .storeUnavailable(store: path, problem: problem)
        }
        let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
        guard access(path, R_OK) == 0, access(path + "-shm", F_OK) != 0, access(folder, W_OK) != 0 else { return nil }
        return .storeUnavailable(
            store: path,
            problem: "nobody has it open, and to read it SQLite has to make its -wal and -shm, which user \(geteuid()) "
                + "cannot do in \(folder): copy it into a folder that can be written to")
    }

    /// Whether the file system has no room for another file. (Some count none.)
    var hasNoRoom: Bool {
        var information = statvfs()
        guard statvfs(Self.folder(of: path), &information) == 0 else { return false }
        return information.f_bavail == 0 || (information.f_files > 0 && information.f_favail == 0)
    }

    /// Nil for a file that this user may read, or that is not there.
    private static func whyUnreadable(_ path: String) -> String? {
        var information = stat()
        guard stat(path, &information) == 0, access(path, R_OK) != 0, errno == EACCES else { return nil }
        return mayNot("read", path)
    }

    /// The first folder on the way to this one, and with it, that this user may not enter; nil where he may enter all.
    static func whyClosed(_ folder: String) -> String? {
        let above = Self.folder(of: folder)
        if above != folder, let problem = whyClosed(above) { return problem }
        guard access(folder, X_OK) != 0, errno == EACCES else { return nil }
        return mayNot("enter", folder)
    }

    /// Says whose a file or a folder is, to somebody who may not use it.
    static func mayNot(_ use: String, _ path: String) -> String {
        var information = stat()
        let what = "user \(geteuid()) may not \(use) \(path)"
        guard stat(path, &information) == 0 else { return what }
        return what + ": it belongs to user \(information.st_uid), group \(information.st_gid), and its mode is "
            + String(information.st_mode & 0o777, radix: 8)
    }
}

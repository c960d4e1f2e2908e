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
    ///   ``TidemarkError/storeUnavailable(store:problem:)`` for a file that this user may not read.
    func checkReadable() throws {
        var information = stat()
        guard stat(path, &information) == 0 else { return }
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

    /// Nil for a file that this user may read, or that is not there.
    private static func whyUnreadable(_ path: String) -> String? {
        var information = stat()
        guard stat(path, &information) == 0, access(path, R_OK) != 0, errno == EACCES else { return nil }
        let mode = String(information.st_mode & 0o777, radix: 8)
        return "user \(geteuid()) may not read \(path): it belongs to user \(information.st_uid), group "
            + "\(information.st_gid), and its mode is \(mode)"
    }
}

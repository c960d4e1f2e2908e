#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif
import Foundation
import GRDB

/// A database that nobody has open for writing, and beside which this process can make no `-wal`: on a volume that is
/// mounted read-only, or in somebody else's folder.
///
/// SQLite reads it only when it is told that the file does not change (`immutable`,
/// https://www.sqlite.org/uri.html#uriimmutable). That is so for as long as there is no `-wal`, and nothing was written
/// since before it was opened: both are looked at after each snapshot.
struct StillFile: Hashable, Sendable {
    private let path: String
    private let size: Int64
    private let seconds: Int
    private let nanoseconds: Int

    /// Nil where there is a `-wal`, or this process can make one, or there is no file at all.
    init?(_ file: DatabaseFile) {
        guard FileIdentity(path: file.path + "-wal") == nil, !file.mayMakeLog else { return nil }
        self.init(path: file.path)
    }

    private init?(path: String) {
        var information = stat()
        guard stat(path, &information) == 0 else { return nil }
        self.path = path
        size = Int64(information.st_size)
        #if canImport(Darwin)
        let written = information.st_mtimespec
        #else
        let written = information.st_mtim
        #endif
        (seconds, nanoseconds) = (written.tv_sec, written.tv_nsec)
    }

    /// Whether it still is what it was.
    var isStill: Bool { FileIdentity(path: path + "-wal") == nil && StillFile(path: path) == self }

    /// The name by which SQLite opens it as a file that does not change.
    var uri: String { DatabaseFile.uri(of: path, "immutable=1") }
}

extension DatabaseFile {
    /// The name by which SQLite opens a file in a certain way (https://www.sqlite.org/uri.html).
    static func uri(of path: String, _ parameter: String) -> String {
        let characters = CharacterSet(charactersIn: "/-._~").union(.alphanumerics)
        return "file:\(path.addingPercentEncoding(withAllowedCharacters: characters) ?? path)?\(parameter)"
    }

    /// Whether SQLite may make the files beside the database that it needs for reading. Only the owner makes them, and
    /// only where the database may be written to, whose permissions they get: what somebody else makes, or what nobody
    /// may write to, might lock the owner out later.
    var mayMakeLog: Bool {
        var information = stat()
        guard stat(path, &information) == 0, information.st_mode & S_IWUSR != 0 else { return false }
        return access(Self.folder(of: path), W_OK) == 0 && [0, information.st_uid].contains(geteuid())
    }

    /// Moves what the `-wal` holds into the database and takes it away, where nobody has the database open any more.
    /// Connections that only read cannot; the last one that may write does, when it is closed, so one is opened for it.
    ///
    /// - Parameter whereEmpty: only what reading made beside a database at rest.
    /// - Throws: GRDB's errors: then they stay, and the next one that writes takes them away.
    func removeLog(whereEmpty: Bool) throws {
        var information = stat()
        guard mayMakeLog, stat(path + "-wal", &information) == 0, !whereEmpty || information.st_size == 0 else {
            return
        }
        // Not one that would make the file, where somebody has just taken it away.
        let queue = try DatabaseQueue(path: Self.uri(of: path, "mode=rw"))
        try queue.read { _ = try Query.first($0, "SELECT 1 FROM sqlite_master LIMIT 1") { _ in true } }
        try queue.close()
    }
}

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif
import Foundation

/// A database that nobody has open for writing, and beside which this process can make no `-wal`: on a volume that is
/// mounted read-only, or in somebody else's folder.
///
/// SQLite reads it only when it is told that the file does not change (`immutable`,
/// https://www.sqlite.org/uri.html#uriimmutable). That is so for as long as there is no `-wal`, and nothing was written
/// since before it was opened: whoever reads looks at both after each snapshot.
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
    var uri: String {
        let characters = CharacterSet(charactersIn: "/-._~").union(.alphanumerics)
        return "file:\(path.addingPercentEncoding(withAllowedCharacters: characters) ?? path)?immutable=1"
    }
}

extension DatabaseFile {
    /// Whether SQLite may make the files beside the database that it needs for reading. Only the owner makes them: what
    /// somebody else makes might lock the owner out.
    var mayMakeLog: Bool {
        access(Self.folder(of: path), W_OK) == 0 && [0, FileOwner(path: path)?.user].contains(geteuid())
    }
}

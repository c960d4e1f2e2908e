#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif
import Logging

extension SocketFolder {
    /// Says so where others could enter the folder until now.
    func reportFormerMode(to logger: Logger) {
        guard let formerMode else { return }
        logger.warning(
            "others could enter the folder beside the database: it is its owner's alone again",
            metadata: ["folder": "\(path)", "mode": "\(String(formerMode, radix: 8))"])
    }

    /// The folder that belongs to a database file: its real path followed by `-tidemark`.
    ///
    /// Symbolic links are followed, so that processes which name the same file differently meet in the same folder. When
    /// the file is not there yet, its folder's real path counts.
    ///
    /// - Throws: ``SocketFolderError`` when the database's folder is not there or cannot be entered.
    static func path(besideDatabase path: String) throws(SocketFolderError) -> String {
        if let file = real(path) { return file + "-tidemark" }
        var folder = "."
        var name = path[...]
        if let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) {
            folder = slash == path.startIndex ? "/" : String(path[..<slash])
            name = path[path.utf8.index(after: slash)...]
        }
        guard let folder = real(folder) else { throw .last("realpath", path) }
        return (folder == "/" ? "" : folder) + "/\(name)-tidemark"
    }

    private static func real(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved)
    }
}

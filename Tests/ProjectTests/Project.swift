import Foundation

/// The files of this package.
enum Project {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    static func read(_ path: String) throws -> String {
        try String(contentsOf: root.appending(path: path), encoding: .utf8)
    }

    static func swiftFiles() throws -> [URL] {
        var files: [URL] = []
        for folder in ["Sources", "Tests", "Examples", "Benchmarks"] {
            let folder = root.appending(path: folder)
            let found = FileManager.default.enumerator(
                at: folder, includingPropertiesForKeys: nil, options: [.skipsHiddenFiles])
            while let file = found?.nextObject() as? URL {
                if file.pathExtension == "swift" { files.append(file) }
            }
        }
        if files.isEmpty { throw CocoaError(.fileNoSuchFile) }
        return files
    }
}

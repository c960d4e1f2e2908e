import Foundation

/// A folder on the disk that is measured, which goes with the scenario.
final class ScenarioFolder {
    private let folder: URL

    init(_ options: BenchOptions) throws {
        folder = options.folder.appending(path: "tidemark-bench-\(UUID())")
        try FileManager.default.createDirectory(
            at: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    }

    func path(_ name: String) -> String { folder.appending(path: name).path }

    deinit { try? FileManager.default.removeItem(at: folder) }
}

import Foundation

/// A folder on the disk that is measured, which goes with the scenario, also when the run is interrupted.
final class ScenarioFolder: Sendable {
    private let folder: URL

    init(_ options: BenchOptions) throws {
        folder = options.folder.appending(path: "tidemark-bench-\(UUID())")
        try FileManager.default.createDirectory(
            at: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        Leftovers.ofThisProcess.add(folder)
    }

    func path(_ name: String) -> String { folder.appending(path: name).path }

    func remove() { Leftovers.ofThisProcess.remove(folder) }

    deinit { remove() }
}

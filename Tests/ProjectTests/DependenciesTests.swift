import Foundation
import Testing

/// What a package that uses this one fetches.
@Suite struct DependenciesTests {
    /// Without the traits nobody fetches what only they need. With one it is there: otherwise the test would look in vain.
    @Test func `a package with the default traits fetches nothing that only other traits need`() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "tidemark-user-\(UUID())")
        defer { try? FileManager.default.removeItem(at: folder) }
        try FileManager.default.createDirectory(
            at: folder.appending(path: "Sources/User"), withIntermediateDirectories: true)
        try Data("import Tidemark\n".utf8).write(to: folder.appending(path: "Sources/User/User.swift"))

        let plain = try Self.resolved(in: folder, traits: "[.defaults]")
        #expect(plain.isSuperset(of: ["grdb.swift", "swift-collections", "swift-log"]))
        #expect(
            plain.isDisjoint(with: ["swift-configuration", "hummingbird", "async-http-client", "swift-docc-plugin"]))
        #expect(try Self.resolved(in: folder, traits: "[.defaults, \"Configuration\"]").contains("swift-configuration"))
    }

    /// The identities of what is fetched for a package in this folder that depends on Tidemark and TidemarkSQLite.
    private static func resolved(in folder: URL, traits: String) throws -> Set<String> {
        let manifest = """
            // swift-tools-version: 6.2
            import PackageDescription

            let package = Package(
                name: "user",
                platforms: [.macOS(.v15)],
                dependencies: [.package(name: "tidemark", path: "\(Project.root.path)", traits: \(traits))],
                targets: [
                    .target(
                        name: "User",
                        dependencies: [
                            .product(name: "Tidemark", package: "tidemark"),
                            .product(name: "TidemarkSQLite", package: "tidemark"),
                        ])
                ])
            """
        try Data(manifest.utf8).write(to: folder.appending(path: "Package.swift"))
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["swift", "package", "--package-path", folder.path, "resolve"]
        let errors = Pipe()
        process.standardError = errors
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        let said = errors.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0, "\(String(decoding: said, as: UTF8.self))")

        struct Resolved: Decodable {
            struct Pin: Decodable { var identity: String }
            var pins: [Pin]
        }
        let file = try Data(contentsOf: folder.appending(path: "Package.resolved"))
        return Set(try JSONDecoder().decode(Resolved.self, from: file).pins.map(\.identity))
    }
}

import Foundation
import TidemarkTesting

/// A certificate authority of a test's own and a certificate for 127.0.0.1, made by openssl and gone with the test.
final class Certificates: Sendable {
    private let folder: URL

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "tidemark-certificates-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            at: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        let name = "subjectAltName=IP:127.0.0.1,DNS:localhost"
        try openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj",
            "/CN=authority of a test", "-keyout", path("ca.key"), "-out", authorityFile)
        try openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost",
            "-addext", name, "-keyout", path("server.key"), "-out", path("server.csr"))
        try openssl(
            "x509", "-req", "-in", path("server.csr"), "-CA", authorityFile, "-CAkey", path("ca.key"), "-days", "1",
            "-copy_extensions", "copy", "-out", path("server.crt"))
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    var authorityFile: String { path("ca.crt") }

    var server: RedisServerProcess.Certificate {
        RedisServerProcess.Certificate(certificateFile: path("server.crt"), keyFile: path("server.key"))
    }

    private func path(_ name: String) -> String { folder.appending(path: name).path }

    private struct Failed: Error {
        let arguments: [String]
    }

    private func openssl(_ arguments: String...) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["openssl"] + arguments
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        if process.terminationStatus != 0 { throw Failed(arguments: arguments) }
    }
}

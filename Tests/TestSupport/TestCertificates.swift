import Foundation

/// An authority that signs certificates for 127.0.0.1, made by `openssl`.
public struct TestCertificates: Sendable {
    /// The paths of PEM files.
    public struct Paths: Sendable {
        public let certificate: String
        public let key: String
        /// Of the authority.
        public let trust: String
    }

    struct OpenSSLFailed: Error {
        let arguments: [String]
    }

    private let folder: String
    private let authority: String

    public init(in folder: String, authority: String) throws {
        self.folder = folder
        self.authority = authority
        try openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", "/CN=\(authority)", "-keyout", path("ca.key"), "-out", path("ca.pem"))
    }

    private func path(_ name: String) -> String { "\(folder)/\(authority)-\(name)" }

    public func paths(for name: String) throws -> Paths {
        let (key, request, certificate) = (path("\(name).key"), path("\(name).csr"), path("\(name).pem"))
        try openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=\(name)",
            "-keyout", key, "-out", request)
        let extensions = path("extensions")
        try "subjectAltName=IP:127.0.0.1,DNS:localhost\n".write(toFile: extensions, atomically: true, encoding: .utf8)
        try openssl(
            "x509", "-req", "-in", request, "-CA", path("ca.pem"), "-CAkey", path("ca.key"), "-CAcreateserial",
            "-days", "2", "-extfile", extensions, "-out", certificate)
        return Paths(certificate: certificate, key: key, trust: path("ca.pem"))
    }

    private func openssl(_ arguments: String...) throws {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["openssl"] + arguments
        process.standardError = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw OpenSSLFailed(arguments: arguments) }
    }
}

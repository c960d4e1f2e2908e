import Foundation
import Synchronization

/// A `redis-server` of a test's own: on loopback, on a port that was free, with nothing kept, and gone with the test.
///
/// It is started by a shell that ends it when this process goes, however it goes.
public final class RedisServerProcess: Sendable {
    /// How the server is set up, beyond what every test needs.
    public struct Options: Hashable, Sendable {
        /// Everyone's password, where there is one.
        public var password: String?
        /// Further lines of its configuration, such as `user reader on >secret resetchannels &c +subscribe`.
        public var configuration: [String] = []
        /// Files of a certificate and its key: then it speaks TLS, and nothing else.
        public var certificate: Certificate?

        /// No password, no TLS.
        public init() {}
    }

    /// What a server shows of itself over TLS: files in PEM.
    public struct Certificate: Hashable, Sendable {
        /// The path of the certificate.
        public let certificateFile: String
        /// The path of its key.
        public let keyFile: String

        /// Paths of PEM files that the server reads when it starts.
        public init(certificateFile: String, keyFile: String) {
            self.certificateFile = certificateFile
            self.keyFile = keyFile
        }
    }

    /// The port on loopback.
    public let port: Int
    private let folder: URL
    private let running = Mutex<Running?>(nil)

    private struct Running {
        let shell: Process
        let input: Pipe
        let identifier: Int32
    }

    /// Starts a server, and returns once it takes connections.
    ///
    /// - Throws: ``RedisServerFailure``.
    public init(_ options: Options = Options()) async throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "tidemark-redis-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            at: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        port = try LoopbackPort.free()
        try configuration(options).write(to: configurationFile, atomically: true, encoding: .utf8)
        try await start()
    }

    deinit {
        kill()
        try? FileManager.default.removeItem(at: folder)
    }

    /// Starts it again after ``kill()``, on the same port.
    public func start() async throws {
        let shell = Process()
        let input = Pipe()
        let output = Pipe()
        shell.executableURL = URL(fileURLWithPath: "/bin/sh")
        // `cat` ends when this process does, or closes the pipe.
        shell.arguments = [
            "-c",
            """
            command -v redis-server >/dev/null || { echo missing; exit; }
            redis-server "$1" >/dev/null 2>&1 & echo $!
            cat >/dev/null; kill -KILL $! 2>/dev/null; wait
            """, "sh", configurationFile.path,
        ]
        shell.standardInput = input
        shell.standardOutput = output
        try shell.run()
        let line = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
        guard let identifier = Int32(line.trimmingCharacters(in: .whitespacesAndNewlines)) else {
            throw RedisServerFailure.notInstalled
        }
        running.withLock { $0 = Running(shell: shell, input: input, identifier: identifier) }
        try await waitUntilItAnswers()
    }

    private func waitUntilItAnswers() async throws {
        let deadline = ContinuousClock.now + .seconds(30)
        while !LoopbackPort.isTaken(port) {
            guard ContinuousClock.now < deadline else { throw RedisServerFailure.doesNotAnswer(port: port) }
            // It says nothing when it is there, and is so in a few milliseconds.
            try await Task.sleep(for: .milliseconds(2))
        }
    }

    /// Ends it at once, as a crash would: connections are closed by the system.
    public func kill() {
        guard let ended = running.withLock({ $0.take() }) else { return }
        signal(SIGKILL, to: ended.identifier)
        try? ended.input.fileHandleForWriting.close()
        ended.shell.waitUntilExit()
    }

    /// Stops it where it is: connections stay, and nothing answers, until ``resume()``.
    public func pause() { signalServer(SIGSTOP) }

    /// Lets it go on after ``pause()``.
    public func resume() { signalServer(SIGCONT) }

    private func signalServer(_ number: Int32) {
        if let identifier = running.withLock({ $0?.identifier }) { signal(number, to: identifier) }
    }

    private func signal(_ number: Int32, to identifier: Int32) {
        #if canImport(Glibc)
        _ = Glibc.kill(identifier, number)
        #else
        _ = Darwin.kill(identifier, number)
        #endif
    }

    private var configurationFile: URL { folder.appending(path: "redis.conf") }

    private func configuration(_ options: Options) -> String {
        var lines = ["bind 127.0.0.1", "dir \(folder.path)", "save \"\"", "appendonly no", "daemonize no"]
        if let certificate = options.certificate {
            lines += [
                "port 0", "tls-port \(port)", "tls-cert-file \(certificate.certificateFile)",
                "tls-key-file \(certificate.keyFile)", "tls-ca-cert-file \(certificate.certificateFile)",
                "tls-auth-clients no",
            ]
        } else {
            lines.append("port \(port)")
        }
        if let password = options.password { lines.append("requirepass \(password)") }
        return (lines + options.configuration).joined(separator: "\n") + "\n"
    }
}

/// Why there is no server for a test.
public enum RedisServerFailure: Error, Hashable, Sendable, CustomStringConvertible {
    /// The server's program is not on this machine.
    case notInstalled
    /// No port on loopback is free.
    case noFreePort
    /// It was started and does not answer.
    case doesNotAnswer(port: Int)

    public var description: String {
        switch self {
        case .notInstalled: "there is no redis-server on this machine: install the package redis-server"
        case .noFreePort: "there is no free port on loopback"
        case .doesNotAnswer(let port): "the redis-server that was started does not answer on port \(port)"
        }
    }
}

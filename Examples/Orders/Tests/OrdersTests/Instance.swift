import Foundation
import Synchronization

/// A process of the example, which is ended with this object.
final class Instance: Sendable {
    private let role: String
    private let variables: [String: String]
    private let process = Mutex<Process?>(nil)
    private let written = Mutex("")

    /// - Parameter name: of the writer; nil for one that only reads.
    init(_ role: String, database: String, port: Int, name: String?, variables: [String] = []) throws {
        self.role = role
        var all = ["TIDEMARK_DATABASE": database, "TIDEMARK_STREAM": "orders", "HTTP_PORT": "\(port)"]
        all["TIDEMARK_INSTANCE"] = name
        for variable in variables {
            let parts = variable.split(separator: "=", maxSplits: 1).map(String.init)
            all[parts[0]] = parts[1]
        }
        self.variables = all
        try start()
    }

    deinit { process.withLock { if let process = $0, process.isRunning { kill(process.processIdentifier, SIGKILL) } } }

    /// What it wrote to standard error.
    var errors: String { written.withLock { $0 } }

    private func start() throws {
        let new = Process()
        new.executableURL = Bundle.main.bundleURL.deletingLastPathComponent().appending(path: "Orders")
        if !FileManager.default.isExecutableFile(atPath: new.executableURL?.path ?? "") {
            new.executableURL = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
                .appending(path: "Orders")
        }
        new.arguments = [role]
        new.environment = variables
        let errors = Pipe()
        new.standardError = errors
        new.standardOutput = FileHandle.nullDevice
        errors.fileHandleForReading.readabilityHandler = { [weak self] handle in
            let data = handle.availableData
            if data.isEmpty { handle.readabilityHandler = nil }
            self?.written.withLock { $0 += String(decoding: data, as: UTF8.self) }
        }
        try new.run()
        process.withLock { $0 = new }
    }

    func killAndStartAgain() async throws {
        signal(SIGKILL)
        _ = try await status()
        try start()
    }

    /// - Returns: the status of the one that was stopped.
    func stopAndStartAgain() async throws -> Int32 {
        let status = try await stop()
        try start()
        return status
    }

    /// Stops it in order; returns its status.
    func stop() async throws -> Int32 {
        signal(SIGTERM)
        return try await status()
    }

    /// Waits for its end.
    func status() async throws -> Int32 {
        try await waitUntil("the end of a process") { !(self.process.withLock { $0?.isRunning } ?? false) }
        return process.withLock { $0?.terminationStatus ?? -1 }
    }

    private func signal(_ number: Int32) {
        process.withLock { if let process = $0, process.isRunning { kill(process.processIdentifier, number) } }
    }
}

struct NeverCame: Error { var what: String }

/// Asks again and again, for at most two minutes.
func waitUntil(_ what: String, _ isDone: () async throws -> Bool) async throws {
    let deadline = ContinuousClock.now + .seconds(120)
    while try await !isDone() {
        guard ContinuousClock.now < deadline else { throw NeverCame(what: what) }
        // Nobody tells when another process has come so far: it is asked again.
        try await Task.sleep(for: .milliseconds(20))
    }
}

/// A port that nobody listens on.
func freePort() throws -> Int {
    #if canImport(Glibc)
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    #else
    let descriptor = socket(AF_INET, SOCK_STREAM, 0)
    #endif
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isBound = withUnsafeMutablePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
        }
    }
    guard isBound else { throw NeverCame(what: "a free port") }
    return Int(in_port_t(bigEndian: address.sin_port))
}

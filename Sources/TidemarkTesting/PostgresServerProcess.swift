import Foundation
import Synchronization

/// A PostgreSQL server of a test's own: in a temporary folder, reached by a socket there and on loopback, and gone with the
/// test.
///
/// A shell starts it, as `postgres` where this process is root's, and ends it when this process goes, however it goes.
public final class PostgresServerProcess: Sendable {
    /// Debian keeps the programs of each version in a folder of its own, which is not in the path.
    private static let binaries: String = {
        let root = "/usr/lib/postgresql"
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
        return "\(root)/\(versions.compactMap(Int.init).max() ?? 0)/bin"
    }()

    /// Whether there is a server to start.
    public static var isInstalled: Bool { FileManager.default.isExecutableFile(atPath: binaries + "/initdb") }

    /// Where its socket is, which only its owner and those in its group can use.
    public let folder: String
    /// The port on loopback, where it takes connections too.
    public let port: Int
    private let shell = Process()
    private let input = Pipe()
    private let databases = Atomic(0)

    /// Starts a server, and returns once it takes connections.
    ///
    /// - Parameters:
    ///   - settings: lines of its configuration, such as `fsync=off`.
    ///   - directory: where its folder is made; nil for the system's temporary one. Everyone has to be able to enter it.
    /// - Throws: ``PostgresServerFailure``.
    public init(_ settings: [String] = [], directory: String? = nil) async throws {
        guard Self.isInstalled else { throw PostgresServerFailure.notInstalled }
        let directory = directory ?? FileManager.default.temporaryDirectory.path
        folder = URL(fileURLWithPath: directory).appending(path: "tidemark-pg-\(UUID().uuidString.prefix(8))").path
        port = try LoopbackPort.free()
        let lines = ["port=\(port)", "unix_socket_directories='\(folder)'", "listen_addresses='127.0.0.1'"] + settings
        let script = """
            run() { if [ "$(id -u)" = 0 ]; then setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; else "$@"; fi; }
            mkdir -m 755 '\(folder)' && if [ "$(id -u)" = 0 ]; then chown postgres '\(folder)'; fi
            cd '\(folder)' || exit 1
            run \(Self.binaries)/initdb -D d -A trust -U postgres --no-sync -E UTF8 --locale=C >/dev/null || exit 1
            cat >> d/postgresql.conf <<'END'
            \(lines.joined(separator: "\n"))
            END
            run \(Self.binaries)/pg_ctl -D d -w -l log start >/dev/null && echo ready
            cat >/dev/null
            run \(Self.binaries)/pg_ctl -D d -m immediate -w stop >/dev/null 2>&1
            cd / && rm -rf '\(folder)'
            """
        shell.executableURL = URL(fileURLWithPath: "/bin/sh")
        shell.arguments = ["-c", script]
        shell.standardInput = input
        let output = Pipe()
        shell.standardOutput = output
        try shell.run()
        let answer = await Self.blocking { String(decoding: output.fileHandleForReading.availableData, as: UTF8.self) }
        guard answer.hasPrefix("ready") else { throw PostgresServerFailure.doesNotStart(folder: folder) }
    }

    deinit {
        try? input.fileHandleForWriting.close()
        shell.waitUntilExit()
    }

    /// Where a database is, for libpq.
    public func address(database: String = "postgres", user: String = "postgres") -> String {
        "postgres://\(user)@127.0.0.1:\(port)/\(database)"
    }

    /// Makes a database, and returns where it is.
    ///
    /// - Throws: ``PostgresServerFailure``.
    public func newDatabase() async throws -> String {
        let name = "d\(databases.wrappingAdd(1, ordering: .relaxed).newValue)"
        try await sql("CREATE DATABASE \(name)")
        return address(database: name)
    }

    /// Runs statements with psql, and returns the rows, a line each.
    ///
    /// - Parameter address: as ``address(database:user:)`` gives it; nil for the database `postgres`.
    /// - Throws: ``PostgresServerFailure``.
    @discardableResult
    public func sql(_ statements: String..., at address: String? = nil) async throws -> String {
        try await run(
            "psql", ["-XAtq", "-v", "ON_ERROR_STOP=1", address ?? self.address()] + statements.flatMap { ["-c", $0] })
    }

    /// Ends the server in order, and starts it again; nobody can connect meanwhile.
    ///
    /// - Throws: ``PostgresServerFailure``.
    public func restart() async throws { try await control("restart", "-m", "fast", "-l", "log") }

    /// Ends it, until ``start()``.
    ///
    /// - Throws: ``PostgresServerFailure``.
    public func stop() async throws { try await control("stop", "-m", "fast") }

    /// Kills all of its processes at once, as when the machine goes. What was not durable is lost, until ``start()``.
    ///
    /// - Throws: ``PostgresServerFailure``.
    public func kill() async throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.currentDirectoryURL = URL(fileURLWithPath: folder)
        // With its children, which would go on for a moment without it.
        let script = """
            all=$(head -n 1 d/postmaster.pid) && all="$all $(ps -o pid= --ppid $all)" && kill -9 $all || exit 1
            for one in $all; do while kill -0 $one 2>/dev/null; do sleep 0.01; done; done
            """
        process.arguments = ["-c", script]
        try process.run()
        await Self.blocking { [process] in process.waitUntilExit() }
        guard process.terminationStatus == 0 else {
            throw PostgresServerFailure.failed(program: "kill", said: "the server in \(folder) cannot be killed")
        }
    }

    /// Starts it again after ``stop()`` or ``kill()``.
    ///
    /// - Throws: ``PostgresServerFailure``.
    public func start() async throws { try await control("start", "-l", "log") }

    private func control(_ arguments: String...) async throws {
        try await run("pg_ctl", ["-D", "d", "-w"] + arguments)
    }

    /// Runs a program of PostgreSQL as the server's user, in the server's folder.
    @discardableResult
    private func run(_ program: String, _ arguments: [String]) async throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/bash")
        process.currentDirectoryURL = URL(fileURLWithPath: folder)
        // A server that is started goes on, and must not hold on to the descriptors by which its start is seen to be over.
        let script = """
            for f in /proc/self/fd/*; do n=${f##*/}; [ "$n" -gt 2 ] && eval "exec $n>&-"; done
            as=(); [ "$(id -u)" = 0 ] && as=(setpriv --reuid=postgres --regid=postgres --clear-groups)
            if [ "${1##*/}" = pg_ctl ]; then exec "${as[@]}" "$@" >/dev/null 2>&1; fi
            exec "${as[@]}" "$@" 2>&1
            """
        process.arguments = ["-c", script, "bash", "\(Self.binaries)/\(program)"] + arguments
        let output = Pipe()
        process.standardOutput = output
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let text = await Self.blocking { [process] in
            let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            process.waitUntilExit()
            return text
        }
        guard process.terminationStatus == 0 else {
            throw PostgresServerFailure.failed(program: program, said: text)
        }
        return text
    }

    /// Runs what blocks on a thread of its own.
    private static func blocking<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value {
        await withCheckedContinuation { continuation in
            Thread { continuation.resume(returning: body()) }.start()
        }
    }
}

/// Why there is no server for a test, or what it refused.
public enum PostgresServerFailure: Error, Hashable, Sendable, CustomStringConvertible {
    /// The programs of a server are not on this machine.
    case notInstalled
    /// It does not take connections.
    case doesNotStart(folder: String)
    /// A program ended with an error.
    case failed(program: String, said: String)

    public var description: String {
        switch self {
        case .notInstalled: "there is no PostgreSQL server on this machine: install the package postgresql"
        case .doesNotStart(let folder): "the PostgreSQL server that was started in \(folder) does not take connections"
        case .failed(let program, let said): "\(program) ended with an error: \(said)"
        }
    }
}

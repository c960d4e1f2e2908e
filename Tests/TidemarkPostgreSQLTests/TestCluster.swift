import Foundation
import Synchronization
import TestSupport
import Tidemark
import TidemarkTesting

@testable import TidemarkPostgreSQL

/// A PostgreSQL server of a test's own: in a temporary folder, reached by a socket there and on loopback, and gone with the
/// test.
///
/// A shell that runs as no root starts it, and ends it when this process goes, however it goes.
final class TestCluster: Sendable {
    /// Debian keeps the programs of each version in a folder of its own, which is not in the path.
    static let binaries: String = {
        let root = "/usr/lib/postgresql"
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
        return "\(root)/\(versions.compactMap(Int.init).max() ?? 0)/bin"
    }()

    /// Whether there is a server to start.
    static let isAvailable = FileManager.default.isExecutableFile(atPath: binaries + "/initdb")

    /// One that tests share which do no harm to it, each in a database of its own.
    private static let shared = Mutex<Task<TestCluster, any Error>?>(nil)
    private static let databases = Atomic(0)

    let folder: String
    let port: Int
    private let shell: Process
    private let input: Pipe

    init(_ settings: [String] = []) async throws {
        folder = "/tmp/tidemark-pg-\(UUID().uuidString.prefix(8))"
        port = try Self.freePort()
        let lines =
            [
                "port=\(port)", "unix_socket_directories='\(folder)'", "listen_addresses='127.0.0.1'",
                "max_prepared_transactions=5", "restart_after_crash=on",
            ] + settings
        let script = """
            run() { if [ "$(id -u)" = 0 ]; then setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; else "$@"; fi; }
            mkdir -m 755 \(folder) && if [ "$(id -u)" = 0 ]; then chown postgres \(folder); fi; cd \(folder)
            run \(Self.binaries)/initdb -D d -A trust -U postgres --no-sync -E UTF8 --locale=C >/dev/null
            cat >> d/postgresql.conf <<'END'
            \(lines.joined(separator: "\n"))
            END
            run \(Self.binaries)/pg_ctl -D d -w -l log start >/dev/null
            echo ready
            cat >/dev/null
            run \(Self.binaries)/pg_ctl -D d -m immediate -w stop >/dev/null 2>&1
            rm -rf \(folder)
            """
        shell = Process()
        shell.executableURL = URL(fileURLWithPath: "/bin/sh")
        shell.arguments = ["-c", script]
        input = Pipe()
        shell.standardInput = input
        let output = Pipe()
        shell.standardOutput = output
        try shell.run()
        let handle = output.fileHandleForReading
        let answer = await onThreadOfItsOwn { String(decoding: handle.availableData, as: UTF8.self) }
        guard answer.hasPrefix("ready") else { throw TookTooLong("no server was started in \(folder)") }
    }

    /// A port that nobody uses just now.
    static func freePort() throws -> Int {
        let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(socket) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(socket, $0, length) == 0 && getsockname(socket, $0, &length) == 0
            }
        }
        guard isBound else { throw TookTooLong("there is no free port") }
        return Int(UInt16(bigEndian: address.sin_port))
    }

    deinit {
        try? input.fileHandleForWriting.close()
        shell.waitUntilExit()
    }

    /// Where a new database of a server that is shared is.
    static func newDatabase() async throws -> PostgresConfiguration {
        let task = shared.withLock { task in
            let begun = task ?? Task { try await TestCluster(["fsync=off"]) }
            task = begun
            return begun
        }
        return try await task.value.newDatabase("t\(databases.wrappingAdd(1, ordering: .relaxed).newValue)")
    }

    /// Makes a database.
    func newDatabase(_ name: String) async throws -> PostgresConfiguration {
        try await connecting(configuration()) { _ = try $0.query("CREATE DATABASE \(name)") }
        return try configuration(database: name)
    }

    func configuration(
        database: String = "postgres", user: String = "postgres", options: String? = nil, port: Int? = nil
    ) throws -> PostgresConfiguration {
        let host = port == nil ? folder : "127.0.0.1"
        let extra = options.map { " options='\($0)'" } ?? ""
        return try PostgresConfiguration(
            "host=\(host) port=\(port ?? self.port) dbname=\(database) user=\(user)\(extra)")
    }

    /// Runs a program of PostgreSQL as the server's user.
    func run(_ program: String, _ arguments: String...) async throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/bash")
        process.currentDirectoryURL = URL(fileURLWithPath: folder)
        let prefix = getuid() == 0 ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] : []
        // A server that is started goes on, and must not hold on to what tells Foundation that the program has ended.
        let script = """
            (for f in /proc/self/fd/*; do n=${f##*/}; [ "$n" -gt 2 ] && eval "exec $n>&-"; done; exec "$@") >>run.log 2>&1
            """
        process.arguments = ["-c", script, "bash"] + prefix + ["\(Self.binaries)/\(program)"] + arguments
        try await onThreadOfItsOwn {
            Result {
                try process.run()
                process.waitUntilExit()
            }
        }.get()
        guard process.terminationStatus == 0 else { throw TookTooLong("\(program) ended with an error") }
    }
}

/// Runs `body` with a connection of its own.
func connecting<Value: Sendable>(
    _ configuration: PostgresConfiguration, _ body: @escaping @Sendable (PostgresSession) throws -> Value
) async throws -> Value {
    let pool = PostgresPool(configuration)
    do {
        let value = try await pool.perform(body)
        await pool.close()
        return value
    } catch {
        await pool.close()
        throw error
    }
}

/// A transaction that stays open until the test says how it ends.
final class OpenTransaction: Sendable {
    private let ending = SharedText()
    private let semaphore = DispatchSemaphore(value: 0)
    private let task: Task<Void, any Error>
    let processID: Int32

    /// Begins it, and returns once `body` has been run in it.
    init(
        _ configuration: PostgresConfiguration, begin: String = "BEGIN",
        _ body: @escaping @Sendable (PostgresSession) throws -> Void
    ) async throws {
        let pool = PostgresPool(configuration)
        let (began, continuation) = AsyncThrowingStream<Int32, any Error>.makeStream()
        let (semaphore, ending) = (semaphore, ending)
        task = Task {
            do {
                try await pool.perform(limit: .seconds(120)) { session in
                    do {
                        try session.query(begin)
                        try body(session)
                        continuation.yield(session.processID)
                        continuation.finish()
                    } catch {
                        continuation.finish(throwing: error)
                        throw error
                    }
                    // On the connection's own thread, which nobody else needs.
                    semaphore.wait()
                    try session.query(ending.value)
                }
                await pool.close()
            } catch {
                await pool.close()
                throw error
            }
        }
        var found: Int32?
        for try await process in began { found = process }
        processID = found ?? 0
    }

    func commit() async throws { try await finish("COMMIT") }
    func rollBack() async throws { try await finish("ROLLBACK") }

    func finish(_ sql: String) async throws {
        ending.value = sql
        semaphore.signal()
        try await task.value
    }
}

/// A text behind a lock that closures can hold.
final class SharedText: Sendable {
    private let text = Mutex("")

    var value: String {
        get { text.withLock { $0 } }
        set { text.withLock { $0 = newValue } }
    }
}

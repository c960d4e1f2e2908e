import Foundation
import Synchronization

/// A PostgreSQL server of a test's own, in a temporary folder: it can be killed and started again, and is gone with this
/// object, or with this process.
///
/// A shell that runs as no root starts it, does what it is told line by line, and ends it.
public final class PostgresServer: Sendable {
    /// Debian keeps the programs of each version in a folder of its own, which is not in the path.
    public static let binaries: String = {
        let root = "/usr/lib/postgresql"
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
        return "\(root)/\(versions.compactMap(Int.init).max() ?? 0)/bin"
    }()

    /// Whether there is a server to start.
    public static let isAvailable = FileManager.default.isExecutableFile(atPath: binaries + "/initdb")

    public let folder: String
    public let port: Int
    private let shell: Program
    private let answers = Mutex(0)

    /// Starts it.
    ///
    /// - Parameters:
    ///   - port: on loopback, and of the socket in the folder.
    ///   - settings: lines of `postgresql.conf`.
    ///   - rules: lines of `pg_hba.conf`, beside those of the machine itself, whom it trusts.
    ///   - prefix: what runs the server, such as `ip netns exec NAME`.
    public init(port: Int, settings: [String] = [], rules: [String] = [], prefix: [String] = []) async throws {
        folder = "/tmp/tidemark-pg-\(UUID().uuidString.prefix(8))"
        self.port = port
        let lines =
            ["port=\(port)", "unix_socket_directories='\(folder)'", "listen_addresses='127.0.0.1'"] + settings
        let script = """
            run() { if [ "$(id -u)" = 0 ]; then setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; else "$@"; fi; }
            start() { \(prefix.joined(separator: " ")) \(prefix.isEmpty ? "run" : Self.unprivileged) \
            \(Self.binaries)/pg_ctl -D d -w -t 120 -l log start >/dev/null 2>&1; }
            mkdir -m 755 \(folder) && if [ "$(id -u)" = 0 ]; then chown postgres \(folder); fi; cd \(folder)
            run \(Self.binaries)/initdb -D d -A trust -U postgres --no-sync -E UTF8 --locale=C >/dev/null
            cat >> d/postgresql.conf <<'END'
            \(lines.joined(separator: "\n"))
            END
            cat >> d/pg_hba.conf <<'END'
            \(rules.joined(separator: "\n"))
            END
            start
            echo started
            while read -r order; do
                case $order in
                kill)
                    # All of it, as when the machine goes: the children of a server that is gone would go on for a moment.
                    server=$(head -1 d/postmaster.pid)
                    children=$(ps -o pid= --ppid $server)
                    kill -9 $server $children
                    while kill -0 $server $children 2>/dev/null; do sleep 0.01; done
                    echo killed ;;
                start) start; echo started ;;
                esac
            done
            run \(Self.binaries)/pg_ctl -D d -m immediate -w stop >/dev/null 2>&1
            rm -rf \(folder)
            """
        shell = try Program(executable: URL(fileURLWithPath: "/bin/sh"), ["-c", script])
        try await answer("started")
    }

    private static let unprivileged =
        getuid() == 0 ? "setpriv --reuid=postgres --regid=postgres --clear-groups" : ""

    deinit {
        shell.endInput()
        // Its last order takes a moment, and the end of the object would kill it.
        let program = shell
        Task { _ = try? await program.outcome() }
    }

    /// Kills all of its processes, as when the machine goes.
    public func kill() async throws {
        shell.write("kill")
        try await answer("killed")
    }

    /// Starts it again, and waits until it takes connections.
    public func start() async throws {
        shell.write("start")
        try await answer("started")
    }

    /// Ends it, and waits for that.
    public func stop() async throws {
        shell.endInput()
        _ = try await shell.outcome()
    }

    /// Where a client on this machine finds a database of it.
    public func address(database: String = "postgres") -> String {
        "host=\(folder) port=\(port) dbname=\(database) user=postgres"
    }

    private func answer(_ expected: String) async throws {
        let number = answers.withLock { answers in
            answers += 1
            return answers
        }
        try await eventually("the server has \(expected)", within: .seconds(120)) {
            if !shell.isRunning { throw TookTooLong("the server in \(folder) ended: \(shell.errors)") }
            return shell.lines.count >= number
        }
        guard shell.lines[number - 1] == expected else {
            throw TookTooLong("the server in \(folder) has not \(expected): \(shell.lines) \(shell.errors)")
        }
    }

    /// A port that nobody uses just now.
    public static func freePort() throws -> Int {
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
}

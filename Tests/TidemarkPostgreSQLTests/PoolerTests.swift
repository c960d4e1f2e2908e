import Foundation
import TestSupport
import Testing
import Tidemark
import TidemarkTesting

@testable import TidemarkPostgreSQL

/// One process of PgBouncer in transaction mode, which ends with this object.
final class Pooler: Sendable {
    static let executable = "/usr/sbin/pgbouncer"
    static let isAvailable = FileManager.default.isExecutableFile(atPath: executable)

    let configuration: PostgresConfiguration
    private let program: Program
    private let folder: TemporaryFolder

    init(before server: PostgresConfiguration) async throws {
        folder = try TemporaryFolder()
        let port = try TestCluster.freePort()
        let parameters = server.address.parameters
        let database = try #require(parameters["dbname"])
        let settings = """
            [databases]
            \(database) = host=127.0.0.1 port=\(parameters["port"] ?? "") user=postgres
            [pgbouncer]
            listen_addr = 127.0.0.1
            listen_port = \(port)
            unix_socket_dir =
            auth_type = any
            pool_mode = transaction
            default_pool_size = 5
            ignore_startup_parameters = extra_float_digits
            """
        let path = folder.path + "/pgbouncer.ini"
        try settings.write(toFile: path, atomically: true, encoding: .utf8)
        // It refuses to run as root.
        if getuid() == 0 {
            try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: folder.path)
            try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: path)
            program = try Program(
                executable: URL(fileURLWithPath: "/usr/bin/setpriv"),
                ["--reuid=postgres", "--regid=postgres", "--clear-groups", Self.executable, "-q", path])
        } else {
            program = try Program(executable: URL(fileURLWithPath: Self.executable), ["-q", path])
        }
        var configuration = try PostgresConfiguration(
            "host=127.0.0.1 port=\(port) dbname=\(database) user=postgres")
        configuration.directAddress = server.address
        self.configuration = configuration
        var alone = configuration
        alone.directAddress = nil
        let pooled = alone
        try await eventually("the pooler answers") {
            guard program.isRunning else { throw TookTooLong(program.errors) }
            return (try? await connecting(pooled) { try $0.query("SELECT 1").count }) == 1
        }
    }
}

/// PgBouncer in transaction mode before the server, where it is installed.
@Suite(.enabled(if: TestCluster.isAvailable && Pooler.isAvailable)) struct PoolerTests {
    @Test(arguments: StoreConformance.checks)
    func `behind a pooler that lends connections by the transaction a store does all that it has to do`(
        _ check: StoreCheck
    ) async throws {
        let database = try await TestCluster.newDatabase()
        let pooler = try await Pooler(before: database)
        try await run(check, pooler.configuration, administrator: database)
    }

    @Test func `where the direct connection is not named, the pooler is found out`() async throws {
        let server = try await TestCluster.newDatabase()
        let pooler = try await Pooler(before: server)
        var alone = pooler.configuration
        alone.directAddress = nil
        let refused = alone
        let error = await #expect(throws: TidemarkError.self) { try await PostgreSQLEventStore.open(refused) }
        #expect("\(String(describing: error))".contains("pooler"))
    }

    @Test func `two logs behind a pooler write, and what one of them left behind is passed`() async throws {
        let server = try await TestCluster.newDatabase()
        let pooler = try await Pooler(before: server)
        let gone = try await PostgreSQLEventStore.open(pooler.configuration)
        let writer = try await gone.join(stream, as: "p1").writer
        let ids = try await gone.allocate(1, in: stream, for: writer)
        try await withStore(at: pooler.configuration) { store in
            try await withLog(store, as: "p2") { log in
                let id = try await log.persist(Event(id: "a", type: "t"))
                #expect(id > ids[0])
                // The process of p1 is gone with its direct connection, whatever the pooler keeps open.
                await gone.close()
                #expect(try await log.waitUntilPersisted(id, timeout: .seconds(30)) == .reached)
            }
        }
    }
}

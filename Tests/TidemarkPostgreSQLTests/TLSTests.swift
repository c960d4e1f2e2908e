import Foundation
import TestSupport
import Testing
import Tidemark

@testable import TidemarkPostgreSQL

/// TLS as libpq has it: what an address says of it counts for every connection of a process.
@Suite(.enabled(if: TestCluster.isAvailable)) struct TLSTests {
    /// A server that lets nobody in over TCP without TLS, and the role `certified` only with a certificate of its own.
    private struct Server {
        let cluster: TestCluster
        let folder: TemporaryFolder
        /// The certificate of the authority that signed the server's.
        let trust: String
        let client: TestCertificates.Paths

        init() async throws {
            cluster = try await TestCluster(["fsync=off"])
            folder = try TemporaryFolder()
            let authority = try TestCertificates(in: folder.path, authority: "right")
            let own = try authority.paths(for: "server")
            client = try authority.paths(for: "certified")
            trust = own.trust
            let data = cluster.folder + "/d/"
            for (from, to) in [(own.certificate, "server.crt"), (own.key, "server.key"), (own.trust, "root.crt")] {
                try FileManager.default.copyItem(atPath: from, toPath: data + to)
                try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: data + to)
                if getuid() == 0, let user = getpwnam("postgres") {
                    #expect(chown(data + to, user.pointee.pw_uid, user.pointee.pw_gid) == 0)
                }
            }
            try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: client.key)
            let rules = """
                local all all trust
                hostssl all certified 127.0.0.1/32 cert
                hostssl all all 127.0.0.1/32 trust
                """
            try rules.write(toFile: data + "pg_hba.conf", atomically: false, encoding: .utf8)
            try await connecting(cluster.configuration()) { session in
                for statement in [
                    "ALTER SYSTEM SET ssl = on", "ALTER SYSTEM SET ssl_ca_file = 'root.crt'", "CREATE DATABASE d",
                    "CREATE ROLE certified LOGIN SUPERUSER", "SELECT pg_reload_conf()",
                ] { try session.query(statement) }
            }
            let (encrypted, plain) = (try address("require"), try address("disable"))
            try await eventually("the server speaks TLS, and nothing else") {
                let mayEncrypt = (try? await connecting(encrypted) { try $0.query("SELECT 1").count }) == 1
                let mayNot = (try? await connecting(plain) { try $0.query("SELECT 1").count }) == 1
                return mayEncrypt && !mayNot
            }
        }

        func address(
            _ mode: String, host: String = "localhost", user: String = "postgres", _ more: [String: String] = [:]
        ) throws -> PostgresConfiguration {
            let parameters = [
                "host": host, "hostaddr": "127.0.0.1", "port": "\(cluster.port)", "dbname": "d", "user": user,
                "password": "hush", "sslmode": mode,
            ].merging(more) { $1 }
            return try PostgresConfiguration(parameters.map { "\($0)='\($1)'" }.joined(separator: " "))
        }

        /// Opens a store, writes, and looks what its connections are.
        func use(_ configuration: PostgresConfiguration) async throws -> (encrypted: Int64, plain: Int64) {
            let store = try await PostgreSQLEventStore.open(configuration)
            let result: Result<(Int64, Int64), any Error>
            do {
                let writer = try await store.join(stream, as: "p1").writer
                let large = Event(id: "large", type: "t", payload: Array(repeating: 7, count: 1_000_000))
                _ = try await store.persist(events("a") + [large], in: stream, by: writer)
                // More than one record of TLS, and than libpq reads at once.
                let read = try await store.batch()?.events.last
                #expect(read?.event.payload.count == large.payload.count)
                result = .success(
                    try await store.pool.query(
                        """
                        SELECT count(*) FILTER (WHERE s.ssl), count(*) FILTER (WHERE NOT s.ssl)
                        FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid)
                        WHERE a.datname = 'd' AND a.application_name = 'tidemark'
                        """
                    ) { (try $0.int64(0, 0), try $0.int64(0, 1)) })
            } catch {
                result = .failure(error)
            }
            await store.close()
            return try result.get()
        }
    }

    private func problem(_ configuration: PostgresConfiguration) async -> String {
        let error = await #expect(throws: TidemarkError.self) {
            await (try await PostgreSQLEventStore.open(configuration)).close()
        }
        guard case .storeUnavailable(_, let problem) = error else { return "\(String(describing: error))" }
        #expect(!"\(String(describing: error))".contains("hush"))
        return problem
    }

    @Test func `all connections are encrypted as the address says, the direct one too`() async throws {
        let server = try await Server()
        for (mode, more) in [
            ("require", [:]), ("verify-ca", ["sslrootcert": server.trust]),
            ("verify-full", ["sslrootcert": server.trust]),
        ] {
            let found = try await server.use(server.address(mode, more))
            #expect(found.encrypted >= 2 && found.plain == 0, "\(mode): \(found)")
        }
        let own = ["sslrootcert": server.trust, "sslcert": server.client.certificate, "sslkey": server.client.key]
        let certified = try await server.use(server.address("verify-full", user: "certified", own))
        #expect(certified.encrypted >= 2 && certified.plain == 0, "\(certified)")
    }

    @Test func `a server that is not the one that was named, or lacks what TLS is to show, is refused`() async throws {
        let server = try await Server()
        let foreign = try TestCertificates(in: server.folder.path, authority: "wrong").paths(for: "server")
        let trust = ["sslrootcert": server.trust]
        let plain = try await TestCluster.newDatabase()
        let withoutTLS = ["host", "port", "dbname", "user"].map { "\($0)='\(plain.address.parameters[$0] ?? "")'" }
            .joined(separator: " ").replacing(
                "host='\(plain.address.parameters["host"] ?? "")'", with: "host=127.0.0.1")
        for (configuration, said) in [
            (try server.address("verify-full", host: "elsewhere.example", trust), "does not match host name"),
            (try server.address("verify-ca", ["sslrootcert": foreign.trust]), "certificate verify failed"),
            (try server.address("verify-full", ["sslrootcert": "/nowhere.pem"]), "\"/nowhere.pem\" does not exist"),
            (try server.address("disable"), "no encryption"),
            (try server.address("sometimes"), "invalid sslmode value"),
            (try server.address("verify-full", user: "certified", trust), "requires a valid client certificate"),
            (try PostgresConfiguration(withoutTLS + " sslmode=require"), "server does not support SSL"),
        ] {
            let problem = await problem(configuration)
            #expect(problem.contains(said), "\(problem)")
        }
    }
}

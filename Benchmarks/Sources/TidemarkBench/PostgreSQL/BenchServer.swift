import Foundation
import Tidemark
import TidemarkPostgreSQL
import TidemarkTesting

/// The PostgreSQL server that is measured: one of the run's own, or one that is there.
final class BenchServer: Sendable {
    private let address: String
    private let process: PostgresServerProcess?

    /// - Parameter place: `postgres` for a server of the run's own, in the folder that is measured, with the settings that it
    ///   has by default; otherwise the address of one that is there.
    init(_ place: String, folder: URL) async throws {
        process = place == "postgres" ? try await PostgresServerProcess(directory: folder.path) : nil
        address = process?.address() ?? place
    }

    func note(in report: inout Report) throws {
        let plain = try PlainServer(address: address)
        report.setFact("PostgreSQL", try plain.ask("SHOW server_version"))
        report.setFact(
            "sync mode of PostgreSQL",
            "synchronous_commit=\(try plain.ask("SHOW synchronous_commit")), fsync=\(try plain.ask("SHOW fsync"))")
    }

    /// Runs `body` with a new database, which goes afterwards.
    func withDatabase(_ body: (String) async throws -> Void) async throws {
        let name = "tidemark_bench_\(UUID().uuidString.prefix(8).lowercased())"
        let plain = try PlainServer(address: address)
        try plain.run("CREATE DATABASE \(name)")
        let result: Result<Void, any Error>
        do {
            result = .success(try await body(try database(name)))
        } catch {
            result = .failure(error)
        }
        try plain.run("DROP DATABASE IF EXISTS \(name) WITH (FORCE)")
        try result.get()
    }

    private func database(_ name: String) throws -> String {
        guard var parts = URLComponents(string: address) else { throw Failure("--database takes postgres://…") }
        parts.path = "/" + name
        guard let text = parts.string else { throw Failure("--database takes postgres://…") }
        return text
    }
}

extension PostgreSQLEventStore {
    static func opened(at address: String) async throws -> PostgreSQLEventStore {
        try await open(PostgresConfiguration(address))
    }
}

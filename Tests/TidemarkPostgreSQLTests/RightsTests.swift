import Foundation
import Logging
import TestSupport
import Testing
import Tidemark
import TidemarkTesting

@testable import TidemarkPostgreSQL

/// A database whose owner, writer, reader and consumer are four roles, with the rights of `rights.sql`.
private struct SharedDatabase {
    let administrator: PostgresConfiguration
    let owner, writer, reader, consumer: PostgresConfiguration

    static let script: String = {
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("../../Sources/TidemarkPostgreSQL/Schema/rights.sql")
        return (try? String(contentsOf: path, encoding: .utf8)) ?? ""
    }()

    /// - Parameter hasRights: whether the script was run.
    init(hasRights: Bool = true) async throws {
        administrator = try await TestCluster.newDatabase()
        let database = try #require(administrator.address.parameters["dbname"])
        let roles = ["owner", "writer", "reader", "consumer"].map { "\(database)_\($0)" }
        let outcome = try await psql(
            administrator,
            roles.map { "CREATE ROLE \($0) LOGIN;" }.joined() + "GRANT CREATE ON DATABASE \(database) TO \(roles[0]);")
        #expect(outcome.status == 0, "\(outcome.errors)")
        owner = try administrator.with(role: roles[0])
        writer = try administrator.with(role: roles[1])
        reader = try administrator.with(role: roles[2])
        consumer = try administrator.with(role: roles[3])
        let store = try await PostgreSQLEventStore.open(owner)
        // A stream that is there already; others come later.
        _ = try await store.join("first", as: "p0")
        await store.close()
        guard hasRights else { return }
        let granted = try await psql(
            owner, Self.script,
            variables: ["namespace": "tidemark", "writers": roles[1], "readers": roles[2], "consumers": roles[3]])
        #expect(granted.status == 0, "\(granted.errors)")
    }
}

extension PostgresConfiguration {
    /// The same database for another role.
    fileprivate func with(role: String) throws -> PostgresConfiguration {
        try PostgresConfiguration(
            address.parameters.merging(["user": role]) { $1 }.map { "\($0)='\($1)'" }.joined(separator: " "))
    }
}

@Suite(.enabled(if: TestCluster.isAvailable)) struct RightsTests {
    /// All but pruning, which is for the owner.
    private static let checks = StoreConformance.checks.filter { check in
        !StoreConformance.pruningChecks.contains { $0.description == check.description }
            && !check.description.contains("what was pruned")
    }

    @Test(arguments: checks)
    func `a writer that may only execute functions does all that a store has to do`(_ check: StoreCheck) async throws {
        let database = try await SharedDatabase()
        try await run(check, database.writer, administrator: database.administrator)
    }

    @Test func `nothing of the owner's is touched by a writer or a reader`() async throws {
        let database = try await SharedDatabase()
        let statements = [
            "INSERT INTO tidemark.events (stream, kind, stream_id, writer, mark) VALUES (1, 1, 1, 1, 1)",
            "UPDATE tidemark.instances SET position = 0", "DELETE FROM tidemark.events", "TRUNCATE tidemark.token",
            "SELECT nextval('tidemark.ids_1')", "SELECT setval('tidemark.ids_1', 1)",
            "SELECT tidemark.raise_position_1(1)", "SELECT tidemark.end_epoch_1(1)",
            "SELECT tidemark.raise_sequence_1('tidemark.ids_1', 5)", "SELECT tidemark.forget_writer_1(1)",
            "SELECT tidemark.use_owner_rights_1(false)", "DROP FUNCTION tidemark.begin_1()",
            "CREATE TABLE tidemark.mine (id bigint)", "SELECT tidemark.begin_prune_1('events', 1000)",
        ]
        for role in [database.writer, database.reader, database.consumer] {
            for sql in statements {
                let error = await #expect(throws: PostgresError.self) {
                    try await connecting(role) { _ = try $0.query(sql) }
                }
                #expect(error?.sqlState == "42501", "\(sql): \(String(describing: error))")
            }
        }
    }

    @Test func `a reader reads, and cannot write`() async throws {
        let database = try await SharedDatabase()
        let store = try await PostgreSQLEventStore.open(database.writer)
        let writer = try await store.join(stream, as: "p1").writer
        _ = try await store.persist(events("a", "b"), in: stream, by: writer)
        let reading = try await PostgreSQLEventStore.open(database.reader)
        #expect(try await reading.all() == [1, 2])
        #expect(try await reading.status(of: stream)?.sequence == 2)
        #expect(try await reading.finished() == [1...2])
        #expect(try await reading.event(withID: "a", in: stream)?.streamID == 1)
        let refused = await problem { _ = try await reading.join(stream, as: "p2") }
        #expect(refused.contains("GRANT EXECUTE ON FUNCTION \"tidemark\".standing_1 TO"), "\(refused)")
        #expect(refused.contains("_reader\""))
        let claim = await problem { _ = try await reading.claimConsumer("mailer", in: stream) }
        #expect(claim.contains("GRANT EXECUTE ON FUNCTION \"tidemark\".claim_consumer_1 TO"), "\(claim)")
        await reading.close()

        let consuming = try await PostgreSQLEventStore.open(database.consumer)
        let claimed = try await consuming.claimConsumer("mailer", in: stream)
        let batch = try #require(try await consuming.batch())
        try await consuming.checkpoint(claimed, at: 2, snapshot: batch.mark)
        #expect(try await consuming.status(of: stream)?.consumers.map(\.position) == [2])
        let join = await problem { _ = try await consuming.join(stream, as: "p2") }
        #expect(join.contains("GRANT EXECUTE"))
        await consuming.close()
        await store.close()
    }

    @Test func `a reader's log goes on where it may not close a writer that is gone`() async throws {
        let database = try await SharedDatabase()
        let gone = try await PostgreSQLEventStore.open(database.writer)
        let store = try await PostgreSQLEventStore.open(database.writer)
        let dead = try await gone.join(stream, as: "p1").writer
        let alive = try await store.join(stream, as: "p2").writer
        _ = try await store.persist(events("a"), in: stream, by: alive)
        _ = try await store.beat(alive, at: 1)
        await gone.close()
        let lines = LogLines()
        let reading = try await PostgreSQLEventStore.open(database.reader)
        try await withLog(reading, logger: lines.logger) { log in
            let seen = try #require(
                try await reading.reconciliation(of: stream, above: 0, limit: 1)?.observations.first {
                    $0.writer == dead
                })
            // What it may not do for others it leaves to them; by hand it is told what it lacks.
            await #expect(throws: TidemarkError.readOnly(store: reading.description)) {
                try await reading.checkWritable()
            }
            await #expect(throws: TidemarkError.readOnly(store: reading.description)) {
                try await reading.closeWriter(stream, observed: seen)
            }
            let byHand = await problem { _ = try await reading.closeWriter(stream, instance: "p1") }
            #expect(byHand.contains("GRANT EXECUTE ON FUNCTION \"tidemark\".close_1 TO"), "\(byHand)")
            try await log.reconcile()
            var batches = log.events().makeAsyncIterator()
            // Somebody who may do it closes the writer, and the reader goes on.
            #expect(try await store.reconciliation(of: stream, above: 0, limit: 1)?.membership.members[dead] == 0)
            _ = try await store.closeWriter(stream, instance: "p1")
            #expect(try await batches.next()?.events.map(\.event.id) == ["a"])
            #expect(lines.lines("silent writers could not be closed").isEmpty)
        }
        await reading.close()
        await store.close()
    }

    @Test func `an acknowledged commit is durable, whatever the role's setting`() async throws {
        let database = try await SharedDatabase()
        let role = try #require(database.writer.address.parameters["user"])
        try await connecting(database.administrator) { session in
            _ = try session.query("ALTER ROLE \(role) SET synchronous_commit = off")
        }
        let store = try await PostgreSQLEventStore.open(database.writer)
        let writer = try await store.join(stream, as: "p1").writer
        let ids = try await store.allocate(1, in: stream, for: writer)
        let settings = try await connecting(database.writer) { session in
            try session.query("BEGIN")
            let before = try session.query("SHOW synchronous_commit").text(0, 0)
            _ = try session.query(
                "SELECT tidemark.commit_ids_1('events', 'p1', 1, NULL, $1)", [.int64s(ids.map(\.rawValue))])
            let after = try session.query("SHOW synchronous_commit").text(0, 0)
            try session.query("COMMIT")
            return [before, after]
        }
        #expect(settings == ["off", "on"])
        await store.close()
    }

    @Test func `a role without any right is told which one it lacks, until it lacks none`() async throws {
        let database = try await SharedDatabase(hasRights: false)
        let role = try #require(database.writer.address.parameters["user"])
        func opening() async -> String {
            await problem {
                let store = try await PostgreSQLEventStore.open(database.writer)
                do {
                    _ = try await store.reconciliation(of: "first", above: 0, limit: 1)
                } catch {
                    await store.close()
                    throw error
                }
                await store.close()
            }
        }
        var said: [String] = []
        for _ in 0..<30 {
            let problem = await opening()
            guard let start = problem.range(of: "GRANT ") else {
                #expect(problem.isEmpty, "\(problem)")
                break
            }
            let grant = problem[start.lowerBound...].prefix { $0 != "," }
            #expect(grant.hasSuffix("TO \"\(role)\""), "\(problem)")
            said.append(String(grant))
            let outcome = try await psql(database.owner, "\(grant);")
            #expect(outcome.status == 0, "\(outcome.errors)")
        }
        #expect(said.contains { $0.contains("USAGE ON SCHEMA") })
        #expect(said.contains { $0.contains("SELECT ON ALL TABLES") })
        #expect(said.contains { $0.contains("members_1") }, "\(said)")
        #expect(await opening().isEmpty)
    }

    private func problem(_ body: () async throws -> Void) async -> String {
        do {
            try await body()
            return ""
        } catch {
            return "\(error)"
        }
    }
}

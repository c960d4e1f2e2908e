import TestSupport
import Testing
import Tidemark

@testable import TidemarkPostgreSQL

@Suite(.enabled(if: TestCluster.isAvailable)) struct SchemaMigrationTests {
    private static let newest = SchemaMigrations.current.newest

    /// Two versions that are yet to come.
    private static let twoSteps = SchemaMigrations(
        newest: newest + 2,
        steps: [
            .init(
                version: newest + 1,
                sql: """
                    ALTER TABLE @namespace@.streams ADD COLUMN two integer NOT NULL DEFAULT 2;
                    -- A function of the next version.
                    CREATE FUNCTION @namespace@.incarnation_2() RETURNS bigint
                    LANGUAGE sql STABLE AS $$
                        SELECT @namespace@.incarnation_1();
                    $$;
                    """),
            .init(version: newest + 2, sql: "UPDATE @namespace@.streams SET two = 3;"),
        ])

    private static func open(
        _ configuration: PostgresConfiguration, _ migrations: SchemaMigrations, creates: Bool = true
    ) async throws -> PostgreSQLEventStore {
        var options = PostgreSQLStoreOptions()
        options.creates = creates
        options.lockLimit = .milliseconds(200)
        return try await .open(configuration, options: options, migrations: migrations)
    }

    private func version(_ configuration: PostgresConfiguration) async throws -> Int64 {
        try await connecting(configuration) { try $0.query("SELECT version FROM tidemark.schema_version").int64(0, 0) }
    }

    @Test func `an older database takes every step that it lacks, once, and programs that run go on`() async throws {
        try await withStore { old, configuration in
            let writer = try await old.join(stream, as: "p1").writer
            _ = try await old.persist(events("a"), in: stream, by: writer)
            for _ in 0..<2 {
                let store = try await Self.open(configuration, Self.twoSteps)
                #expect(try await store.all() == [1])
                #expect(
                    try await store.pool.query("SELECT two FROM tidemark.streams") { try $0.int64(0, 0) } == 3)
                await store.close()
                #expect(try await version(configuration) == Int64(Self.newest + 2))
            }
            // It does not begin to use what it does not know, and does not end either.
            #expect(try await old.persist(events("b"), in: stream, by: writer) == [.persisted(2)])
            #expect(try await old.all() == [1, 2])
            await #expect(
                throws: TidemarkError.schemaTooNew(
                    store: old.description, found: Self.newest + 2, supported: Self.newest)
            ) { try await Self.open(configuration, .current) }
            // What came is called by nobody who was not told.
            let mayAll = try await connecting(configuration) { session in
                try session.query("SELECT has_function_privilege('public', 'tidemark.incarnation_2()', 'EXECUTE')")
                    .bool(0, 0)
            }
            #expect(!mayAll)
        }
    }

    @Test func `several that find an older database migrate it once`() async throws {
        try await withStore { _, configuration in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<4 {
                    group.addTask { await (try await Self.open(configuration, Self.twoSteps)).close() }
                }
                try await group.waitForAll()
            }
            #expect(try await version(configuration) == Int64(Self.newest + 2))
        }
    }

    @Test func `a step that fails leaves the database in its old version`() async throws {
        try await withStore { old, configuration in
            _ = try await old.join(stream, as: "p1")
            let failing = SchemaMigrations(
                newest: Self.newest + 2,
                steps: [Self.twoSteps.steps[0], .init(version: Self.newest + 2, sql: "SELECT 1 / 0;")])
            await #expect(throws: TidemarkError.self) { try await Self.open(configuration, failing) }
            #expect(try await version(configuration) == Int64(Self.newest))
            let store = try await Self.open(configuration, .current)
            await #expect(throws: PostgresError.self) {
                try await store.pool.query("SELECT two FROM tidemark.streams") { $0.count }
            }
            await store.close()
        }
    }

    @Test func `whoever only reads, or is not the owner, migrates nothing and is told who does`() async throws {
        try await withStore { _, configuration in
            let reading = await #expect(throws: TidemarkError.self) {
                try await Self.open(configuration, Self.twoSteps, creates: false)
            }
            #expect("\(String(describing: reading))".contains("older version \(Self.newest)"))
            let role = "\(configuration.address.parameters["dbname"] ?? "")_guest"
            try await connecting(configuration) { session in
                try session.query("CREATE ROLE \(role) LOGIN")
                try session.query("GRANT USAGE ON SCHEMA tidemark TO \(role)")
                try session.query("GRANT SELECT ON ALL TABLES IN SCHEMA tidemark TO \(role)")
            }
            let guest = try PostgresConfiguration(
                configuration.address.parameters.merging(["user": role]) { $1 }.map { "\($0)=\($1)" }
                    .joined(separator: " "))
            let error = await #expect(throws: TidemarkError.self) { try await Self.open(guest, Self.twoSteps) }
            #expect("\(String(describing: error))".contains("role \(role) may not migrate it"))
            #expect("\(String(describing: error))".contains("run rights.sql again"))
            #expect(try await version(configuration) == Int64(Self.newest))
        }
    }

    @Test func `a table that somebody uses is not waited for longer than the limit`() async throws {
        try await withStore { old, configuration in
            _ = try await old.join(stream, as: "p1")
            let reader = try await OpenTransaction(configuration) { session in
                _ = try session.query("SELECT count(*) FROM tidemark.streams")
            }
            let error = await #expect(throws: TidemarkError.self) {
                try await Self.open(configuration, Self.twoSteps)
            }
            guard case .writeLockHeld(_, _, .milliseconds(200)) = error else {
                Issue.record("\(String(describing: error))")
                return
            }
            try await reader.commit()
            await (try await Self.open(configuration, Self.twoSteps)).close()
            #expect(try await version(configuration) == Int64(Self.newest + 2))
        }
    }

    @Test func `a version that no step leads away from is refused`() async throws {
        try await withStore { _, configuration in
            try await connecting(configuration) { session in
                _ = try session.query("UPDATE tidemark.schema_version SET version = 1")
            }
            let error = await #expect(throws: TidemarkError.self) { try await Self.open(configuration, .current) }
            #expect("\(String(describing: error))".contains("unknown version 1"))
        }
    }

    @Test(arguments: ["TABLE tidemark.keys", "FUNCTION tidemark.settle_1"])
    func `a schema of which a part was dropped is refused when it is opened, with what is missing`(part: String)
        async throws
    {
        try await withStore { _, configuration in
            try await connecting(configuration) { _ = try $0.query("DROP \(part)") }
            let error = await #expect(throws: TidemarkError.self) { try await Self.open(configuration, .current) }
            guard case .notADatabase(_, let problem) = error else {
                Issue.record("\(String(describing: error))")
                return
            }
            let name = part.lowercased().replacing("tidemark.", with: "")
            #expect(problem.contains("is not whole, for it has no \(name)"), "\(problem)")
        }
    }
}

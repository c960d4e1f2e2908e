import Foundation
import TestSupport
import Testing
import Tidemark

@testable import TidemarkPostgreSQL

@Suite(.enabled(if: TestCluster.isAvailable)) struct BadInputTests {
    /// The problem of a store that cannot be used, which has to be an error of that kind.
    private func problem(
        _ configuration: PostgresConfiguration, _ options: PostgreSQLStoreOptions = .init()
    ) async -> String? {
        let error = await #expect(throws: TidemarkError.self) {
            let store = try await PostgreSQLEventStore.open(configuration, options: options)
            await store.close()
        }
        switch error {
        case .storeUnavailable(_, let problem), .notADatabase(_, let problem): return problem
        default: return error?.description
        }
    }

    @Test func `a server that is not there is said so, without the password`() async throws {
        let configuration = try PostgresConfiguration("postgres://me:hush@127.0.0.1:1/d")
        let problem = try #require(await problem(configuration))
        #expect(problem.contains("127.0.0.1:1"))
        #expect(!problem.contains("hush"))
    }

    @Test func `a role that does not exist is refused at once`() async throws {
        let configuration = try await TestCluster.newDatabase()
        let other = try PostgresConfiguration(
            configuration.address.parameters.merging(["user": "nobody_here", "password": "hush"]) { $1 }
                .map { "\($0)=\($1)" }.joined(separator: " "))
        let problem = try #require(await problem(other))
        #expect(problem.contains("nobody_here"))
        #expect(!problem.contains("hush"))
    }

    @Test func `a database without a schema is left alone where nothing may be made`() async throws {
        var options = PostgreSQLStoreOptions()
        options.creates = false
        let problem = await problem(try await TestCluster.newDatabase(), options)
        #expect(problem?.contains("no schema of Tidemark") == true)
    }

    @Test func `a namespace that holds something else is not touched`() async throws {
        let configuration = try await TestCluster.newDatabase()
        try await connecting(configuration) { session in
            _ = try session.query("CREATE SCHEMA tidemark")
            _ = try session.query("CREATE TABLE tidemark.letters (id bigint)")
        }
        #expect(await problem(configuration)?.contains("holds something else") == true)
        var options = PostgreSQLStoreOptions()
        options.namespace = "marks"
        try await withStore(at: configuration, options) { store in
            let writer = try await store.join(stream, as: "p1").writer
            #expect(try await store.persist(events("a"), in: stream, by: writer) == [.persisted(1)])
        }
    }

    @Test func `a namespace that holds functions of others is not touched, and they keep their rights`() async throws {
        let configuration = try await TestCluster.newDatabase()
        try await connecting(configuration) { session in
            _ = try session.query("CREATE FUNCTION public.letters() RETURNS integer LANGUAGE sql AS 'SELECT 42'")
        }
        var options = PostgreSQLStoreOptions()
        options.namespace = "public"
        #expect(await problem(configuration, options)?.contains("holds something else") == true)
        let isForAll = try await connecting(configuration) { session in
            try session.query("SELECT proacl IS NULL FROM pg_proc WHERE proname = 'letters'").bool(0, 0)
        }
        #expect(isForAll)
    }

    //  reader                        writer
    //  finds no schema
    //                                makes it
    //  asks what is to be expected
    @Test func `a schema that was made since it was not found is there`() async throws {
        let configuration = try await TestCluster.newDatabase()
        let options = PostgreSQLStoreOptions()
        #expect(await PostgreSQLEventStore.outlook(configuration, options: options) == .mayCome)
        try await PostgreSQLEventStore.open(configuration).close()
        #expect(await PostgreSQLEventStore.outlook(configuration, options: options) == .isThere)
        let other = try await TestCluster.newDatabase()
        try await connecting(other) { _ = try $0.query("CREATE SCHEMA tidemark CREATE TABLE letters (id bigint)") }
        #expect(await PostgreSQLEventStore.outlook(other, options: options) == .needsSomebody)
    }

    @Test func `another version of the schema, and a half-made one, are refused`() async throws {
        try await withStore { store, configuration in
            try await connecting(configuration) { _ = try $0.query("UPDATE tidemark.schema_version SET version = 9") }
            await #expect(
                throws: TidemarkError.schemaTooNew(
                    store: store.description, found: 9, supported: SchemaMigrations.current.newest)
            ) { try await PostgreSQLEventStore.open(configuration) }
            try await connecting(configuration) { _ = try $0.query("DELETE FROM tidemark.schema_version") }
            #expect(await problem(configuration)?.contains("is empty") == true)
            try await connecting(configuration) { _ = try $0.query("DROP TABLE tidemark.events CASCADE") }
            let error = await #expect(throws: TidemarkError.self) { try await store.event(withID: "a", in: stream) }
            guard case .notADatabase = error else {
                Issue.record("\(String(describing: error))")
                return
            }
        }
    }

    @Test func `a standby is not the primary`() async throws {
        let cluster = try await TestCluster()
        let configuration = try await cluster.newDatabase("lead")
        try await withStore(at: configuration) { _ = try await $0.join(stream, as: "p1") }
        let copy = cluster.folder + "/copy"
        let port = try TestCluster.freePort()
        try await cluster.run(
            "pg_basebackup", "-h", cluster.folder, "-p", "\(cluster.port)", "-U", "postgres", "-D", copy, "-R", "-c",
            "fast")
        try await cluster.run(
            "pg_ctl", "-D", copy, "-w", "-l", cluster.folder + "/copy.log", "-o", "-p \(port) -c listen_addresses=''",
            "start")
        let standby = try PostgresConfiguration("host=\(cluster.folder) port=\(port) dbname=lead user=postgres")
        let error = await #expect(throws: TidemarkError.self) { try await PostgreSQLEventStore.open(standby) }
        guard case .notPrimary = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        // Its promotion begins another incarnation, because the token is in no copy.
        try await cluster.run("pg_ctl", "-D", copy, "-w", "promote")
        try await withStore(at: standby) { store in
            let joined = try await store.join(stream, as: "p2")
            #expect(joined.membership.members.count == 1)
        }
        try await cluster.run("pg_ctl", "-D", copy, "-m", "immediate", "-w", "stop")
    }

    /// A server that asks the role `secret` for its password.
    private func serverWithPassword() async throws -> TestCluster {
        let cluster = try await TestCluster()
        try await connecting(cluster.configuration()) { session in
            _ = try session.query("CREATE ROLE secret LOGIN PASSWORD 'right one'")
            _ = try session.query("CREATE DATABASE d OWNER secret")
        }
        let rules = "\(cluster.folder)/d/pg_hba.conf"
        let before = try String(contentsOfFile: rules, encoding: .utf8)
        try ("host all secret 127.0.0.1/32 scram-sha-256\n" + before).write(
            toFile: rules, atomically: false, encoding: .utf8)
        try await connecting(cluster.configuration()) { _ = try $0.query("SELECT pg_reload_conf()") }
        let wrong = try PostgresConfiguration("postgres://secret:hush@127.0.0.1:\(cluster.port)/d")
        try await eventually("the rule counts") {
            (try? await connecting(wrong) { try $0.query("SELECT 1").count }) == nil
        }
        return cluster
    }

    @Test func `a password that is wrong is said at once, and never shown`() async throws {
        let cluster = try await serverWithPassword()
        let wrong = try PostgresConfiguration("postgres://secret:hush@127.0.0.1:\(cluster.port)/d")
        let problem = try #require(await problem(wrong))
        #expect(problem.contains("password authentication failed"), "\(problem)")
        #expect(!problem.contains("hush"))
        let right = try PostgresConfiguration("postgres://secret:right%20one@127.0.0.1:\(cluster.port)/d")
        try await withStore(at: right) { _ = try await $0.join(stream, as: "p1") }
    }

    @Test func `a password is in no line of a log, nor in an error, whatever becomes of the connections`() async throws
    {
        let cluster = try await serverWithPassword()
        let lines = LogLines()
        func opened(_ password: String) async throws -> PostgreSQLEventStore {
            try await PostgreSQLEventStore.open(
                PostgresConfiguration(
                    "postgres://secret:\(password)@127.0.0.1:\(cluster.port)/d?application_name=shown"),
                logger: lines.logger)
        }
        let (administrator, shown) = (try cluster.configuration(), "application_name = 'shown'")
        var errors = [await #expect(throws: TidemarkError.self) { try await opened("hush") } as (any Error)?]
        let store = try await opened("right%20one")
        errors.append(
            await #expect(throws: TidemarkError.self) {
                try await withLog(store, as: "p1", logger: lines.logger) { log in
                    try await log.persist(Event(id: "a", type: "t"))
                    try await endBackends(shown, by: administrator)
                    try await log.persist(Event(id: "b", type: "t"))
                    // From now on the password that was right is wrong, which nothing but somebody mends.
                    try await connecting(administrator) { _ = try $0.query("ALTER ROLE secret PASSWORD 'another one'") }
                    try await endBackends(shown, by: administrator)
                    try await log.persist(Event(id: "c", type: "t"))
                }
            })
        await store.close()
        // There is something to look at.
        #expect(lines.text.contains("password authentication failed"), "\(lines.text)")
        #expect(lines.text.contains("a connection to PostgreSQL is gone"), "\(lines.text)")
        var texts = [lines.text]
        for error in errors {
            #expect("\(String(describing: error))".contains("password authentication failed"))
            var dumped = ""
            dump(error, to: &dumped)
            texts += [dumped, "\(String(describing: error))", "\(String(reflecting: error))"]
        }
        for text in texts {
            #expect(!text.contains("hush") && !text.contains("right one") && !text.contains("right%20one"), "\(text)")
        }
    }

    @Test func `a disk that is full is told apart from other errors`() {
        let errors = StoreErrors(store: "s", namespace: "tidemark", lockLimit: .seconds(1), role: nil)
        let full = PostgresError.refused(
            server: "h", ServerMessage(sqlState: "53100", message: "could not extend file"))
        #expect(errors.tidemarkError(full, CallSubject(stream)) as? TidemarkError == .storeFull(store: "s"))
        let right = PostgresError.refused(
            server: "h", ServerMessage(sqlState: "42501", message: "keine Berechtigung für Funktion persist_1"))
        let problem = "\(errors.tidemarkError(right, CallSubject(stream)))"
        #expect(problem.contains("GRANT EXECUTE ON FUNCTION \"tidemark\".persist_1 TO the role"), "\(problem)")
    }

    @Test func `a text with a zero byte fails its own event`() async throws {
        try await withStore { store, _ in
            let writer = try await store.join(stream, as: "p1").writer
            await #expect(throws: TidemarkError.self) {
                try await store.persist([Event(id: "a\0", type: "t")], in: stream, by: writer)
            }
            #expect(try await store.event(withID: "a\0", in: stream) == nil)
        }
    }

    @Test func `a table that is locked is waited for up to the limit of a call, and then it is said by whom`()
        async throws
    {
        var configuration = try await TestCluster.newDatabase()
        configuration.callLimit = .seconds(1)
        var options = PostgreSQLStoreOptions()
        options.lockLimit = .milliseconds(300)
        try await withStore(at: configuration, options) { store in
            let writer = try await store.join(stream, as: "p1").writer
            let lock = try await OpenTransaction(configuration) { session in
                _ = try session.query("LOCK TABLE tidemark.events IN ACCESS EXCLUSIVE MODE")
            }
            let name = "backend \(lock.processID) of role postgres (tidemark), idle in transaction, for "
            let reading = await #expect(throws: TidemarkError.self) { try await store.status(of: stream) }
            guard case .lockedForReading(_, let reader?, .milliseconds(300)) = reading else {
                Issue.record("\(String(describing: reading))")
                return
            }
            #expect(
                reader.hasPrefix(name) && reader.hasSuffix(" ms (table events),"), "\(reader)")
            let writing = await #expect(throws: TidemarkError.self) {
                try await store.persist(events("a"), in: stream, by: writer)
            }
            guard case .writeLockHeld(_, let holder?, .seconds(1)) = writing else {
                Issue.record("\(String(describing: writing))")
                return
            }
            #expect(holder.hasPrefix(name), "\(holder)")
            try await lock.rollBack()
            // The ID 1 was handed out, and rolled back.
            #expect(try await store.persist(events("a"), in: stream, by: writer) == [.persisted(2)])
        }
    }
}

import GRDB
import TestSupport
import Testing
import Tidemark
@testable import TidemarkSQLite

@Suite struct SchemaMigrationTests {
    private static func open(
        _ folder: TemporaryFolder, _ migrations: SchemaMigrations, readOnly: Bool = false
    ) async throws -> SQLiteEventStore {
        try await .open(path: folder.database, configuration: .init(readOnly: readOnly), migrations: migrations)
    }

    private static let twoSteps = SchemaMigrations(
        newest: 6,
        steps: [
            .init(version: 5) { try $0.execute(sql: "CREATE TABLE tidemark_two (x INTEGER)") },
            .init(version: 6) { try $0.execute(sql: "INSERT INTO tidemark_two VALUES (3)") },
        ])

    @Test func `an older file takes every step that it lacks, once`() async throws {
        let folder = try TemporaryFolder()
        let old = try await folder.open()
        let writer = try await old.join(stream, as: "p1").writer
        _ = try await old.persist(events("a"), in: stream, by: writer)
        await old.close()
        for _ in 0..<2 {
            let store = try await Self.open(folder, Self.twoSteps)
            #expect(try await store.withWriter { try Int.fetchAll($0, sql: "SELECT x FROM tidemark_two") } == [3])
            #expect(
                try await store.withWriter { try Int.fetchOne($0, sql: "SELECT version FROM tidemark_schema") } == 6)
            #expect(try await store.all().count == 1)
        }
    }

    @Test func `a step that fails leaves the file in its old version`() async throws {
        let folder = try TemporaryFolder()
        await (try await folder.open()).close()
        let failing = SchemaMigrations(
            newest: 6,
            steps: [Self.twoSteps.steps[0], .init(version: 6) { try $0.execute(sql: "CREATE TABLE tidemark_two (x)") }])
        await #expect(throws: TidemarkError.self) { try await Self.open(folder, failing) }
        let store = try await folder.open()
        #expect(try await store.withWriter { try !$0.tableExists("tidemark_two") })
    }

    @Test func `a newer file is refused, and stays as it is`() async throws {
        let folder = try TemporaryFolder()
        await (try await Self.open(folder, .current)).close()
        await (try await Self.open(folder, Self.twoSteps)).close()
        for readOnly in [false, true] {
            let path = try DatabaseFile(resolving: folder.database).path
            await #expect(throws: TidemarkError.schemaTooNew(store: path, found: 6, supported: 4)) {
                try await Self.open(folder, .current, readOnly: readOnly)
            }
        }
    }

    @Test func `an older file is not migrated by somebody who only reads`() async throws {
        let folder = try TemporaryFolder()
        await (try await folder.open()).close()
        let error = await #expect(throws: TidemarkError.self) {
            try await Self.open(folder, Self.twoSteps, readOnly: true)
        }
        #expect(error?.isUnavailable == true)
    }

    @Test func `a version that no step leads away from is refused`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        try await store.withWriter { try $0.execute(sql: "UPDATE tidemark_schema SET version = 0") }
        await store.close()
        let error = await #expect(throws: TidemarkError.self) { try await folder.open() }
        guard case .notADatabase = error else { return #expect(Bool(false), "\(String(describing: error))") }
    }
}

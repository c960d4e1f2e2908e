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

/// A version of the schema that files of earlier programs have.
struct FormerSchema: Sendable, CustomStringConvertible {
    let version: Int
    /// What transactions of such programs begin with: the version, or what only that version has.
    let beginnings: [String]
    let sql: String

    static let all = [version1, version2, version3]

    var description: String { "version \(version)" }

    /// The file as an old program has it open.
    func make(_ folder: TemporaryFolder) throws -> DatabasePool {
        let old = try DatabasePool(path: folder.database)
        try old.write { try $0.execute(sql: sql) }
        return old
    }
}

@Suite struct FormerSchemaTests {
    @Test func `each version but the newest is there`() {
        #expect(FormerSchema.all.map(\.version) == Array(1..<SchemaMigrations.current.newest))
    }

    @Test(arguments: FormerSchema.all)
    func `a schema that was migrated is the one that a new file has`(_ former: FormerSchema) async throws {
        let (folder, other) = (try TemporaryFolder(), try TemporaryFolder())
        try former.make(folder).close()
        #expect(try await Self.columns(folder.open()) == Self.columns(other.open()))
    }

    /// It goes no further: the version is not its own, or what it asks for is not there.
    @Test(arguments: FormerSchema.all)
    func `a program of a former version that still runs finds so before it writes`(_ former: FormerSchema) async throws
    {
        let folder = try TemporaryFolder()
        let old = try former.make(folder)
        func begin(_ statement: String) async throws -> Int? {
            try await old.write { try Int.fetchOne($0, sql: statement) }
        }
        for statement in former.beginnings { #expect(try await begin(statement) != nil) }
        let store = try await folder.open()
        for statement in former.beginnings {
            if former.version == 1 {
                await #expect(throws: DatabaseError.self) { try await begin(statement) }
            } else {
                #expect(try await begin(statement) == SchemaMigrations.current.newest)
            }
        }
        await store.close()
    }

    /// What the tables of Tidemark consist of.
    private static func columns(_ store: SQLiteEventStore) async throws -> [String] {
        try await store.read { db in
            try String.fetchAll(
                db,
                sql: """
                    SELECT m.name || '.' || c.name || ' ' || c.type || ' ' || c."notnull" || ' ' || c.pk
                        || ' ' || ifnull(c.dflt_value, '')
                    FROM sqlite_master m JOIN pragma_table_info(m.name) c
                    WHERE m.name LIKE 'tidemark%' ORDER BY m.name, c.cid
                    """)
        }
    }
}

import Foundation
import GRDB
import TestSupport
import Testing
import Tidemark
@testable import TidemarkSQLite

@Suite struct OpeningTests {
    @Test func `commits are synced in full, also after WAL was turned on`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        #expect(try await store.withWriter { try Int.fetchOne($0, sql: "PRAGMA synchronous") } == 2)
        // What a sync is on macOS: its `fsync` does not wait for the disk.
        #expect(try await store.withWriter { try Int.fetchOne($0, sql: "PRAGMA fullfsync") } == 1)
        #expect(try await store.read { try Int.fetchOne($0, sql: "PRAGMA fullfsync") } == 1)
        #expect(try await store.withWriter { try String.fetchOne($0, sql: "PRAGMA journal_mode") } == "wal")
    }

    @Test func `a symbolic link is not taken for the folder beside the database`() async throws {
        let folder = try TemporaryFolder()
        let target = folder.path + "/target"
        try FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: false)
        let path = try DatabaseFile(resolving: folder.path + "/linked.db").directory
        try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: target)
        await #expect(throws: TidemarkError.self) { try await SQLiteEventStore.open(path: folder.path + "/linked.db") }
        #expect(try FileManager.default.contentsOfDirectory(atPath: target) == [])
    }

    @Test func `what the library creates is schema.sql`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let made = try await store.withWriter { try Self.objects($0) }
        let repository = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let sql = try String(contentsOf: repository.appending(path: "schema.sql"), encoding: .utf8)
        let reference = try DatabaseQueue()
        let expected = try await reference.write { db in
            try db.execute(sql: sql)
            return try Self.objects(db)
        }
        #expect(made == expected)
        #expect(made.count > 5)
        #expect(Schema.sql == sql)
    }

    private static func objects(_ db: Database) throws -> [String] {
        try String.fetchAll(db, sql: "SELECT name || ': ' || coalesce(sql, '') FROM sqlite_master ORDER BY name")
    }

    @Test func `schema.sql makes the version that the library calls its newest`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let version = try await store.withWriter { try Int.fetchOne($0, sql: "SELECT version FROM tidemark_schema") }
        #expect(version == SchemaMigrations.current.newest)
    }

    @Test func `all files are their owner's alone, whatever the umask`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        _ = try await store.join(stream, as: "p1")
        for file in [store.path, store.path + "-wal", store.path + "-shm"] {
            #expect(try Self.permissions(file) == 0o600, "\(file)")
        }
        #expect(try Self.permissions(store.directory) == 0o700)
        for lock in ["open", "next", "turn"] {
            #expect(try Self.permissions(store.directory + "/\(lock).lock") == 0o600)
        }
        let processes = store.directory + "/processes"
        #expect(try Self.permissions(processes) == 0o700)
        for file in try FileManager.default.contentsOfDirectory(atPath: processes) {
            #expect(try Self.permissions(processes + "/" + file) == 0o600)
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: store.directory).count == 4)
    }

    private static func permissions(_ path: String) throws -> Int? {
        try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
    }

    @Test func `two names of one file are one store`() async throws {
        let folder = try TemporaryFolder()
        let link = folder.path + "/link.db"
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: "events.db")
        // The link comes first: the file it points to is not there yet.
        let byLink = try await SQLiteEventStore.open(path: link)
        let byName = try await folder.open()
        #expect(byLink.path == byName.path)
        #expect(byLink.directory == byName.directory)
        #expect(try Self.permissions(byName.path) == 0o600)
    }

    @Test func `a missing file is not made when it must not be`() async throws {
        let folder = try TemporaryFolder()
        for configuration in [SQLiteConfiguration(createsDatabase: false), .init(readOnly: true)] {
            let error = await #expect(throws: TidemarkError.self) { try await folder.open(configuration) }
            #expect(error?.isUnavailable == true)
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
    }

    @Test func `a missing folder is an error that names it`() async throws {
        let folder = try TemporaryFolder()
        let error = await #expect(throws: TidemarkError.self) {
            try await SQLiteEventStore.open(path: folder.path + "/missing/events.db")
        }
        #expect(error?.isUnavailable == true)
        #expect(error?.description.contains(folder.path + "/missing") == true)
    }

    @Test func `a folder is not a database`() async throws {
        let folder = try TemporaryFolder()
        let error = await #expect(throws: TidemarkError.self) { try await SQLiteEventStore.open(path: folder.path) }
        guard case .notADatabase = error else { return #expect(Bool(false), "\(String(describing: error))") }
        try? FileManager.default.removeItem(atPath: folder.path + "-tidemark")
    }

    @Test func `a file that is not a database is refused, and stays as it is`() async throws {
        let folder = try TemporaryFolder()
        let text = String(repeating: "This is a letter, not a database. ", count: 100)
        try text.write(toFile: folder.database, atomically: true, encoding: .utf8)
        let error = await #expect(throws: TidemarkError.self) { try await folder.open() }
        guard case .notADatabase = error else { return #expect(Bool(false), "\(String(describing: error))") }
        #expect(try String(contentsOfFile: folder.database, encoding: .utf8) == text)
    }

    @Test func `another program's database gets the schema, or is left as it is when it must not be made`() async throws
    {
        let folder = try TemporaryFolder()
        let other = try DatabaseQueue(path: folder.database)
        try await other.write { try $0.execute(sql: "CREATE TABLE mine (x); INSERT INTO mine VALUES (7)") }
        try other.close()
        let error = await #expect(throws: TidemarkError.self) {
            try await folder.open(.init(createsDatabase: false))
        }
        #expect(error?.isUnavailable == true)
        #expect(!FileManager.default.fileExists(atPath: folder.database + "-wal"))
        let store = try await folder.open()
        _ = try await store.join(stream, as: "p1")
        #expect(try await store.withWriter { try Int.fetchOne($0, sql: "SELECT x FROM mine") } == 7)
    }

    @Test func `many stores that open a new file at once all get the one schema`() async throws {
        for _ in 0..<5 {
            let folder = try TemporaryFolder()
            let stores = try await withThrowingTaskGroup(of: SQLiteEventStore.self) { group in
                for _ in 0..<8 { group.addTask { try await folder.open() } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            for (index, store) in stores.enumerated() {
                let joined = try await store.join(stream, as: InstanceName(validating: "p\(index)"))
                #expect(joined.membership.members.count == index + 1)
            }
        }
    }

    @Test func `a store that was closed says so, and the file can be opened again`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        _ = try await store.persist(events("a"), in: stream, by: writer)
        await store.close()
        await store.close()
        let write = await #expect(throws: TidemarkError.self) {
            try await store.persist(events("b"), in: stream, by: writer)
        }
        #expect(write?.isUnavailable == true)
        let read = await #expect(throws: TidemarkError.self) { try await store.status(of: stream) }
        #expect(read?.isUnavailable == true)
        let beat = await #expect(throws: TidemarkError.self) { try await store.beat(writer, at: 0) }
        #expect(beat?.isUnavailable == true)
        #expect(try await folder.open().all().count == 1)
    }

    @Test func `a transaction of a store that was closed is refused where it begins, too`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        await store.close()
        let error = await #expect(throws: TidemarkError.self) {
            try await store.withWriter { db in try store.lock.takeIfFree(db) }
        }
        #expect(error?.isUnavailable == true)
    }
}

extension TidemarkError {
    var isUnavailable: Bool {
        if case .storeUnavailable = self { true } else { false }
    }
}

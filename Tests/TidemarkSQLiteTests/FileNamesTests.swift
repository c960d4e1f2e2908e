import Foundation
import GRDB
import Logging
import TestSupport
import Testing
import Tidemark
@testable import TidemarkSQLite

/// SQLite keeps a `-wal` for each name of a file: who writes under one does not see what was written under another.
@Suite struct FileNamesTests {
    private func expectRefusal(
        _ words: String, _ configuration: SQLiteConfiguration = .init(), at path: String
    ) async {
        let error = await #expect(throws: TidemarkError.self) {
            try await SQLiteEventStore.open(path: path, configuration: configuration)
        }
        guard case .notADatabase(_, let problem) = error, problem.contains(words) else {
            return #expect(Bool(false), "\(path): \(String(describing: error))")
        }
    }

    @Test func `a file with two names is refused under both, by writers and by readers`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        _ = try await store.join(stream, as: "p1")
        let other = folder.path + "/other.db"
        #expect(link(folder.database, other) == 0)
        for path in [folder.database, other] {
            await expectRefusal("2 names (hard links)", at: path)
            await expectRefusal("2 names (hard links)", .init(readOnly: true), at: path)
        }
        for made in ["-wal", "-tidemark"] { #expect(!FileManager.default.fileExists(atPath: other + made)) }
        #expect(unlink(other) == 0)
        _ = try await folder.open()
    }

    //  makes the database under another name, links it to its own, is killed
    @Test(arguments: [false, true])
    func `the name under which a database was made is taken away where its maker was killed`(
        readOnly: Bool
    ) async throws {
        let folder = try TemporaryFolder()
        let made = try await folder.open()
        await made.close()
        let draft = made.directory + "/new.4711"
        let another = made.directory + "/new.4712"
        #expect(link(folder.database, draft) == 0)
        #expect(FileManager.default.createFile(atPath: another, contents: Data()))
        let store = try await folder.open(.init(readOnly: readOnly))
        #expect(!FileManager.default.fileExists(atPath: draft))
        #expect(FileManager.default.fileExists(atPath: another))
        await store.close()
    }

    @Test(arguments: ["/new.4711a", "/new.", "/old.4711", "/processes/new.4711"])
    func `what is not the name of such a file stays, and is a second name`(name: String) async throws {
        let folder = try TemporaryFolder()
        let made = try await folder.open()
        _ = try await made.join(stream, as: "p1")
        await made.close()
        #expect(link(folder.database, made.directory + name) == 0)
        await expectRefusal("2 names (hard links)", at: folder.database)
        #expect(FileManager.default.fileExists(atPath: made.directory + name))
    }

    @Test func `a symbolic link is no second name`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        #expect(symlink(folder.database, folder.path + "/link.db") == 0)
        let linked = try await SQLiteEventStore.open(path: folder.path + "/link.db")
        #expect(linked.path == store.path)
    }

    @Test func `an ID is not committed through a connection that knows the file under another name`() async throws {
        let folder = try TemporaryFolder()
        let log = try await EventLog.open(
            folder.open(), stream: stream, instance: "p1",
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        _ = try await log.persist(events("a"))
        let store = try #require(log.store as? SQLiteEventStore)
        await store.emptyLog()
        #expect(link(folder.database, folder.path + "/other.db") == 0)
        var configuration = Configuration()
        configuration.prepareDatabase { try $0.execute(sql: "PRAGMA synchronous = FULL") }
        let other = try DatabaseQueue(path: folder.path + "/other.db", configuration: configuration)
        let error = await #expect(throws: TidemarkError.self) {
            try await log.withNextID { id in
                await store.emptyLog()
                try await other.write { try log.commit([id], in: $0) }
            }
        }
        guard case .unsuitableTransaction(_, let problem) = error, problem.contains("-wal of its own") else {
            return #expect(Bool(false), "\(String(describing: error))")
        }
    }

    @Test(arguments: [":memory:", "file:events.db", "file:events.db?mode=ro", "file::memory:?cache=shared"])
    func `what SQLite takes for no file elsewhere makes no file of that name`(path: String) async throws {
        await expectRefusal(path == ":memory:" ? "give the path of one" : "give the path of the file alone", at: path)
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    @Test func `a file that is made has one name at any time`() throws {
        let folder = try TemporaryFolder()
        let file = try DatabaseFile(resolving: folder.database)
        _ = try file.makeDirectory()
        try file.makeFile()
        try file.requireOneName()
        #expect(try FileManager.default.contentsOfDirectory(atPath: file.directory).isEmpty)
        // One that is there stays.
        let identity = file.identity
        try file.makeFile()
        #expect(file.identity == identity)
        #expect(try FileManager.default.contentsOfDirectory(atPath: file.directory).isEmpty)
    }
}

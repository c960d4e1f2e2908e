import Foundation
import GRDB
import Synchronization
import TestSupport
import Testing
import Tidemark

@testable import TidemarkSQLite

@Suite(.timeLimit(.minutes(5))) struct BackupTests {
    private func names(in folder: TemporaryFolder) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
    }

    private func databaseID(_ path: String) throws -> Int64? {
        let queue = try DatabaseQueue(path: path)
        defer { try? queue.close() }
        return try queue.read { try Int64.fetchOne($0, sql: "SELECT database_id FROM tidemark_schema") }
    }

    @Test func `a copy is one whole file for its owner alone, and a database of its own`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let joined = try await store.join(stream, as: "p1")
        _ = try await store.persist(events("a", "b"), in: stream, by: joined.writer)
        let claim = try await store.claimConsumer("mailer", in: stream)
        try await store.write { try $0.execute(sql: "CREATE TABLE own (name TEXT); INSERT INTO own VALUES ('x')") }
        let backup = try await store.backUp(to: folder.path + "/copy.db")
        #expect(backup.path.hasSuffix("/copy.db") && backup.streams == [stream: 2])
        // Nothing is beside it, and the permissions are its owner's.
        #expect(try names(in: folder).filter { $0.hasPrefix("copy") } == ["copy.db"])
        let attributes = try FileManager.default.attributesOfItem(atPath: backup.path)
        #expect(attributes[.posixPermissions] as? Int == 0o600)
        #expect((attributes[.size] as? Int64) == backup.bytes)
        #expect(try databaseID(folder.database) != nil && databaseID(backup.path) == nil)

        let copy = try await SQLiteEventStore.open(path: backup.path)
        let before = try #require(try await copy.reconciliation(of: stream, above: 0, limit: 10))
        #expect(before.membership.members.isEmpty && before.membership.version > joined.membership.version)
        #expect(try await copy.all().map(\.event.id) == ["a", "b"])
        #expect(try await copy.read { try String.fetchOne($0, sql: "SELECT name FROM own") } == "x")
        // Who is a member there is none here.
        await #expect(throws: TidemarkError.retired(stream: stream, writer: joined.writer)) {
            _ = try await copy.persist(events("c"), in: stream, by: joined.writer)
        }
        await #expect(throws: TidemarkError.self) { try await copy.verify(claim) }
        let there = try await copy.join(stream, as: "p1")
        #expect(there.writer.epoch > joined.writer.epoch && there.position == 2)
        let own = try #require(try databaseID(backup.path))
        #expect(try own != databaseID(folder.database))
        #expect(try await copy.persist(events("c"), in: stream, by: there.writer) == [.persisted(3)])
        // And nobody has noticed here.
        #expect(try await store.persist(events("d"), in: stream, by: joined.writer) == [.persisted(3)])
        try await store.verify(claim)
    }

    /// A place of the one is none of the other, once somebody has joined.
    @Test func `a copy that was joined begins an incarnation of its own`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let joined = try await store.join(stream, as: "p1")
        _ = try await store.persist(events("a", "b"), in: stream, by: joined.writer)
        var copies: Set<Int64> = []
        for number in 0..<2 {
            let backup = try await store.backUp(to: folder.path + "/copy\(number).db")
            let copy = try await SQLiteEventStore.open(path: backup.path)
            let there = try await copy.join(stream, as: "p1")
            copies.insert(try #require(try databaseID(backup.path)))
            #expect(there.membership.version != joined.membership.version)
            let snapshot = try #require(try await store.all().last)
            let place = EventPlace(
                database: DatabaseID(try #require(try databaseID(folder.database))), id: 2, mark: snapshot.mark)
            var request = ConsumerRequest(stream: stream, consumer: "elsewhere")
            request.start = .after(place)
            let asked = request
            await #expect(throws: TidemarkError.otherDatabase(stream: stream, place: place)) {
                _ = try await copy.claimConsumer(asked)
            }
        }
        #expect(copies.count == 2)
    }

    /// Each acknowledgement is noted before the backup's call: the copy has all of them.
    @Test func `20 copies under load are whole, and hold all that was acknowledged before`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let another = try await folder.open()
        let load = Load()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (index, writing) in [store, another].enumerated() {
                group.addTask {
                    let writer = try await writing.join(stream, as: index == 0 ? "p1" : "p2").writer
                    var number = 0
                    while !load.ends.withLock({ $0 }) {
                        number += 1
                        let event = Event(
                            id: "\(index)-\(number)", type: "noted", payload: [UInt8](repeating: 7, count: 200))
                        let outcomes = try await writing.persist([event], in: stream, by: writer)
                        guard case .persisted(let id)? = outcomes.first else { continue }
                        load.acknowledged.withLock { $0.append(id) }
                    }
                }
            }
            for number in 0..<20 {
                let written = number * 10 + 10
                try await eventually("both write") { load.acknowledged.withLock { $0.count } > written }
                let before = load.acknowledged.withLock { $0 }
                let backup = try await store.backUp(to: folder.path + "/copy\(number).db")
                let queue = try DatabaseQueue(path: backup.path)
                let (check, ids) = try await queue.read { db in
                    (
                        try String.fetchAll(db, sql: "PRAGMA integrity_check"),
                        try Set(Int64.fetchAll(db, sql: "SELECT stream_id FROM tidemark_events"))
                    )
                }
                try queue.close()
                #expect(check == ["ok"])
                #expect(before.allSatisfy { ids.contains($0.rawValue) }, "copy \(number)")
                let copy = try await SQLiteEventStore.open(path: backup.path)
                #expect(try databaseID(backup.path) == nil)
                _ = try await copy.join(stream, as: "p1")
                #expect(try databaseID(backup.path) != nil)
                await copy.close()
            }
            load.ends.withLock { $0 = true }
            try await group.waitForAll()
        }
    }

    private final class Load: Sendable {
        let acknowledged = Mutex<[StreamID]>([])
        let ends = Mutex(false)
    }

    private func expectRefused(
        _ store: SQLiteEventStore, _ path: String, _ problem: String, _ folder: TemporaryFolder
    ) async throws {
        let before = try names(in: folder)
        do {
            _ = try await store.backUp(to: path)
            Issue.record("a backup to \(path) was made")
        } catch TidemarkError.backupRefused(_, _, let found) {
            #expect(found.contains(problem), "\(found)")
        }
        #expect(try names(in: folder) == before, "nothing is left")
    }

    @Test func `no file is overwritten, and the database itself least of all`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        _ = try await store.persist(events("a"), in: stream, by: writer)
        let (own, link) = (folder.database, folder.path + "/link.db")
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: own)
        for path in [own, link, folder.path + "/./events.db"] {
            try await expectRefused(store, path, "it is the database itself", folder)
        }
        for path in [own + "-wal", own + "-journal", own + "-tidemark/copy.db"] {
            try await expectRefused(store, path, "belongs to the database", folder)
        }
        let other = folder.path + "/other.db"
        try Data("mine".utf8).write(to: URL(filePath: other))
        try await expectRefused(store, other, "it exists", folder)
        #expect(try Data(contentsOf: URL(filePath: other)) == Data("mine".utf8))
        try FileManager.default.removeItem(atPath: other)
        try Data("old".utf8).write(to: URL(filePath: other + "-wal"))
        try await expectRefused(store, other, "other.db-wal is there", folder)
        // One that was killed.
        let third = folder.path + "/third.db"
        try Data("half".utf8).write(to: URL(filePath: third + "-draft"))
        try await expectRefused(store, third, "third.db-draft is there", folder)
        try FileManager.default.removeItem(atPath: third + "-draft")
        _ = try await store.backUp(to: third)
        #expect(try await store.all().count == 1)
        await #expect(throws: TidemarkError.self) { _ = try await store.backUp(to: folder.path + "/none/copy.db") }
        await #expect(throws: TidemarkError.self) { _ = try await store.backUp(to: folder.path) }
    }

    @Test func `a copy that does not pass its check gets no name`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        _ = try await store.persist(events("a"), in: stream, by: writer)
        try await store.write { db in
            try db.execute(sql: "PRAGMA defer_foreign_keys = ON")
            try db.execute(
                sql: """
                    INSERT INTO tidemark_attempts (stream, consumer, partition, stream_id, attempts)
                    SELECT stream, 'c', 0, 1, 1 FROM tidemark_streams
                    """)
        }
        let another = try DatabaseQueue(path: folder.database)
        try await another.writeWithoutTransaction { db in
            try db.execute(sql: "PRAGMA foreign_keys = OFF; UPDATE tidemark_attempts SET stream = 77")
        }
        try another.close()
        do {
            _ = try await store.backUp(to: folder.path + "/copy.db")
            Issue.record("it was made")
        } catch TidemarkError.notADatabase(_, let problem) {
            #expect(problem.contains("1 rows of tidemark_attempts belong to no stream"))
        }
        #expect(try names(in: folder).filter { $0.hasPrefix("copy") } == [])
    }

    @Test func `a backup whose task is cancelled leaves nothing`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        _ = try await store.persist(events(0..<5), in: stream, by: writer)
        let path = folder.path + "/copy.db"
        let backup = Task {
            // Cancelled before it begins, so that it is at whatever it does.
            withUnsafeCurrentTask { $0?.cancel() }
            return try await store.backUp(to: path)
        }
        await #expect(throws: CancellationError.self) { _ = try await backup.value }
        #expect(try names(in: folder).filter { $0.hasPrefix("copy") } == [])
    }
}

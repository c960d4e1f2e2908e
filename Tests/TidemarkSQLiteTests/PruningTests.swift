import Foundation
import GRDB
import TestSupport
import Testing
import Tidemark

@testable import TidemarkSQLite

@Suite(.timeLimit(.minutes(2))) struct PruningTests {
    private func number(_ store: SQLiteEventStore, _ sql: String) async throws -> Int64 {
        try await store.read { try Int64.fetchOne($0, sql: sql) ?? -1 }
    }

    private func large(_ numbers: Range<Int>) -> [Event] {
        numbers.map {
            Event(id: "e\($0)", type: "noted", key: "k\($0 % 3)", payload: [UInt8](repeating: 7, count: 2_000))
        }
    }

    private func size(_ path: String) throws -> Int64 {
        try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int64 ?? 0
    }

    @Test func `the file gives room back in small steps, and what is left is whole`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        for start in stride(from: 0, to: 3000, by: 500) {
            _ = try await store.persist(large(start..<start + 500), in: stream, by: writer)
        }
        _ = try await store.beat(writer, at: 3000)
        await store.emptyLog()
        let before = try size(folder.database)
        let result = try await store.prune(stream, .through(2000))
        #expect(result.events == 2000 && result.through == 2000)
        let space = try #require(result.space)
        #expect(space.givenBack > 2_000_000 && space.free == 0 && space.canBeGivenBack)
        await store.emptyLog()
        #expect(try size(folder.database) < before * 6 / 10)
        #expect(try await store.snapshotIDs(after: 2000) == 2001...3000)
        let check = try await store.read { try String.fetchAll($0, sql: "PRAGMA integrity_check") }
        #expect(check == ["ok"])
        // Of the events that were removed the ids are left, and the newest of each key.
        #expect(try await number(store, "SELECT count(*) FROM tidemark_events WHERE payload IS NULL") == 2000)
        #expect(try await number(store, "SELECT count(*) FROM tidemark_pruned_keys") == 3)
        #expect(try await number(store, "SELECT max(stream_id) FROM tidemark_pruned_keys WHERE key = 'k0'") == 1999)
        _ = try await store.prune(stream, .through(2000), forgettingIDs: true)
        #expect(try await number(store, "SELECT count(*) FROM tidemark_events") == 1000)
        #expect(try await number(store, "SELECT count(*) FROM tidemark_pruned_keys") == 3)
    }

    /// Somebody put the sequence back by hand, and nothing but the mark says how far it was.
    @Test func `a join puts the sequence above the mark`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        _ = try await store.persist(events("a", "b", "c"), in: stream, by: writer)
        _ = try await store.beat(writer, at: 3)
        try await store.leave(stream, as: writer)
        #expect(try await store.prune(stream, .through(3), forgettingIDs: true).events == 3)
        try await store.withWriter { db in
            try db.execute(sql: "UPDATE tidemark_streams SET sequence = 1; DELETE FROM tidemark_instances")
        }
        let joined = try await store.join(stream, as: "p2")
        #expect(joined.position == 3)
        #expect(try await store.persist(events("d"), in: stream, by: joined.writer) == [.persisted(4)])
        #expect(try await store.snapshotIDs(after: 3) == 4...4)
    }

    @Test func `a file that was made without keeps the room for new events, and says so`() async throws {
        let folder = try TemporaryFolder()
        let made = try DatabaseQueue(path: folder.database)
        try await made.write { try $0.execute(sql: "CREATE TABLE own (x INTEGER)") }
        try made.close()
        let store = try await folder.open()
        #expect(try await number(store, "PRAGMA auto_vacuum") == 0)
        let writer = try await store.join(stream, as: "p1").writer
        _ = try await store.persist(large(0..<1000), in: stream, by: writer)
        _ = try await store.beat(writer, at: 1000)
        let space = try #require(try await store.prune(stream, .keeping(0)).space)
        #expect(!space.canBeGivenBack && space.givenBack == 0 && space.free > 1_000_000)
        // What the documentation says helps, once every program is stopped.
        await store.close()
        let stopped = try DatabaseQueue(path: folder.database)
        try await stopped.writeWithoutTransaction { try $0.execute(sql: "PRAGMA auto_vacuum = INCREMENTAL; VACUUM") }
        try stopped.close()
        #expect(try size(folder.database) < 500_000)
        let again = try await folder.open()
        #expect(try await number(again, "PRAGMA auto_vacuum") == 2)
        #expect(try await again.pruned(of: stream)?.through == 1000)
    }

    /// 1 is an event of the user's own, 2 was given up, 3 is one of Tidemark's.
    @Test func `tombstones go, and what says where events of the user's own are`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let log = try await EventLog.open(store, stream: stream, instance: "p1", configuration: .init())
        try await store.write { try $0.execute(sql: "CREATE TABLE own (id INTEGER)") }
        try await log.withNextID { id in
            try await store.write { db in
                try db.execute(sql: "INSERT INTO own VALUES (?)", arguments: [id.rawValue])
                try log.commit([id], in: db)
            }
        }
        struct Failure: Error {}
        await #expect(throws: Failure.self) { try await log.withNextID { _ in throw Failure() } }
        _ = try await log.persist(events("c"))
        let consumer = try await log.consumer("mailer")
        var iterator = consumer.events.makeAsyncIterator()
        while let batch = try await iterator.next() {
            try await consumer.checkpoint(batch)
            if batch.through >= 3 { break }
        }
        let writer = try #require(log.writer)
        _ = try await store.beat(writer, at: 3)
        let result = try await log.prune(through: 2)
        #expect(result.events == 1 && result.through == 2)
        #expect(try await number(store, "SELECT count(*) FROM tidemark_events") == 1)
        #expect(try await number(store, "SELECT count(*) FROM own") == 1)
        #expect(try await consumer.audit().isComplete)
        let answer = try await store.abandon([1, 2], allocatedIn: nil, in: stream, by: writer)
        #expect(answer == AbandonedIDs(pruned: [1, 2]))
    }

    @Test func `an older program finds another version before it prunes`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        _ = try await store.persist(events("a"), in: stream, by: writer)
        _ = try await store.beat(writer, at: 1)
        try await store.write { try $0.execute(sql: "UPDATE tidemark_schema SET version = 9") }
        await #expect(throws: TidemarkError.schemaTooNew(store: store.path, found: 9, supported: 4)) {
            _ = try await store.prune(PruneRequest(stream: stream, through: 1))
        }
    }
}

extension SQLiteEventStore {
    fileprivate func snapshotIDs(after position: StreamID) async throws -> ClosedRange<StreamID>? {
        let request = SnapshotRequest(
            delivered: nil, membershipVersion: try await version(), after: position, through: StreamID(.max),
            limit: .max, byteLimit: .max)
        guard let ids = try await snapshot(of: stream, request)?.events.map(\.streamID), let first = ids.first,
            let last = ids.last, Int64(ids.count) == last.rawValue - first.rawValue + 1
        else { return nil }
        return first...last
    }
}

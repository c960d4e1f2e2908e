import GRDB
import GRDBSQLite
import TestSupport
import Testing
import Tidemark

@testable import TidemarkSQLite

private final class Count {
    var value = 0
}

/// Names of writers that left: nobody looks at them, and after a time they are forgotten.
@Suite struct FormerNamesTests {
    private static let day: Int64 = 86_400_000

    @Test func `100,000 names that left are not looked at by snapshots, nor by those who reconcile`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        _ = try await store.persist(events(0..<10), in: stream, by: writer)
        let before = try await steps(store)
        try await store.withWriter { db in
            try db.execute(
                sql: """
                    INSERT INTO tidemark_instances
                        (stream, instance, epoch, nonce, is_member, left_at, position, heartbeat_at)
                    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
                    SELECT 1, 'job-' || i, 2, i, 0, 1, 0, 1 FROM n
                    """)
        }
        #expect(try await store.status(of: stream)?.leftCount == 100_000)
        #expect(try await steps(store) == before)
    }

    /// How many instructions of SQLite's machine a snapshot and a reconciliation take.
    private func steps(_ store: SQLiteEventStore) async throws -> Int {
        try await store.inSnapshot { db in
            let count = Count()
            let context = Unmanaged.passUnretained(count).toOpaque()
            sqlite3_progress_handler(
                db.sqliteConnection, 1,
                { context in
                    if let context { Unmanaged<Count>.fromOpaque(context).takeUnretainedValue().value += 1 }
                    return 0
                }, context)
            defer { sqlite3_progress_handler(db.sqliteConnection, 0, nil, nil) }
            let request = SnapshotRequest(
                delivered: nil, membershipVersion: 0, after: 0, through: 10, limit: 10, byteLimit: 1000)
            let opened = try #require(try OpenedSnapshot(stream, request, db, store: "here"))
            #expect(opened.snapshot([], isTruncated: false).membership.members.count == 1)
            let row = try #require(try StreamRow.named(stream, in: db))
            #expect(try WriterLife.members(of: row, db).count == 1)
            return count.value
        }
    }

    @Test func `a name is forgotten 30 days after its writer left, by whoever joins, and its events keep it`()
        async throws
    {
        let folder = try TemporaryFolder()
        let clock = ManualWallClock(100 * Self.day)
        let store = try await folder.open(.init(wallClockMilliseconds: { clock.now }))
        let old = try await store.join(stream, as: "old").writer
        _ = try await store.persist(events("a"), in: stream, by: old)
        try await store.leave(stream, as: old)
        clock.now += 30 * Self.day
        _ = try await store.join(stream, as: "p1")
        #expect(try await store.status(of: stream)?.leftCount == 1)
        clock.now += 1
        _ = try await store.join(stream, as: "p2")
        #expect(
            try await store.status(of: stream, includingLeft: true)?.writers.map(\.writer.instance) == ["p1", "p2"])
        #expect(try await store.all().map(\.instance) == ["old"])
        _ = try await store.claimConsumer("c", in: stream)
        #expect(try await store.audit(stream, consumer: "c", limit: 10).isComplete)
        // No epoch of a name comes twice.
        #expect(try await store.join(stream, as: "old").writer.epoch > old.epoch + 1)
        #expect(try await store.join(stream, as: "new").writer.epoch > old.epoch + 1)
    }

    @Test func `a few names are forgotten at a time, and heartbeats do it too`() async throws {
        let folder = try TemporaryFolder()
        let clock = ManualWallClock(100 * Self.day)
        let store = try await folder.open(.init(wallClockMilliseconds: { clock.now }))
        let writer = try await store.join(stream, as: "p1").writer
        try await store.withWriter { db in
            try db.execute(
                sql: """
                    INSERT INTO tidemark_instances
                        (stream, instance, epoch, nonce, is_member, left_at, position, heartbeat_at)
                    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 250)
                    SELECT 1, 'job-' || i, 2, i, 0, i, 0, 1 FROM n
                    """)
        }
        _ = try await store.join(stream, as: "p2")
        #expect(try await store.status(of: stream)?.leftCount == 150)
        for _ in 0..<FormerNames.heartbeatsBetweenSteps { _ = try await store.beat(writer, at: 0) }
        #expect(try await store.status(of: stream)?.leftCount == 50)
        for _ in 0..<FormerNames.heartbeatsBetweenSteps { _ = try await store.beat(writer, at: 0) }
        #expect(try await store.status(of: stream)?.leftCount == 0)
    }
}

import Foundation
import GRDB
import Logging
import TestSupport
import Testing
import Tidemark
@testable import TidemarkSQLite

/// A log that is cut off, a clock that jumps, a disk that is full: a typed error or no effect, and nothing that was
/// acknowledged is lost without one.
@Suite struct DiskFaultTests {
    private func open(_ folder: TemporaryFolder, as instance: InstanceName?) async throws -> EventLog {
        try await EventLog.open(
            folder.open(), stream: stream, instance: instance,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    /// The files as they are now, as a machine that loses its power leaves them.
    private func powerCut(_ folder: TemporaryFolder) throws -> TemporaryFolder {
        let copy = try TemporaryFolder()
        for suffix in ["", "-wal"] {
            try FileManager.default.copyItem(atPath: folder.database + suffix, toPath: copy.database + suffix)
        }
        return copy
    }

    @Test func `what was acknowledged is there after a power cut`() async throws {
        let folder = try TemporaryFolder()
        let log = try await open(folder, as: "p1")
        for index in 0..<5 { _ = try await log.persist(events(index..<(index + 1))) }
        let copy = try powerCut(folder)
        #expect(try await copy.open().all().map(\.streamID) == [1, 2, 3, 4, 5])
    }

    @Test(arguments: [1, 2, 3, 5, 8, 10])
    func `of a WAL file that was cut off whole commits are left, and a reader ahead of them is told`(
        tenth: Int
    ) async throws {
        let folder = try TemporaryFolder()
        let log = try await open(folder, as: "p1")
        // Up to here the database file itself has it, and so the WAL file begins with what comes now.
        _ = try await log.persist(events(0..<3))
        let store = try #require(log.store as? SQLiteEventStore)
        try await store.withWriter { try $0.execute(sql: "PRAGMA wal_checkpoint(TRUNCATE)") }
        let consumer = try await log.consumer("mails")
        var iterator = consumer.events.makeAsyncIterator()
        for index in 3..<20 { _ = try await log.persist(events(index..<(index + 1))) }
        try await consumer.checkpoint(try #require(try await iterator.next()))
        let copy = try powerCut(folder)
        let size = try #require(try FileManager.default.attributesOfItem(atPath: copy.database + "-wal")[.size] as? Int)
        #expect(truncate(copy.database + "-wal", size * tenth / 10) == 0)

        let left = try await open(copy, as: "p2")
        let ids = try await left.store.all().map(\.streamID)
        #expect(ids == (1...Int64(ids.count)).map { StreamID($0) })
        #expect(ids.count >= 3 && (tenth < 10 || ids.count == 20))
        // Its consumer's checkpoint went with the commits that it had passed, so that nothing is skipped.
        if let consumer = try await left.store.status(of: stream)?.consumers.first {
            #expect(consumer.position <= StreamID(Int64(ids.count)))
            #expect(try await left.store.audit(stream, consumer: "mails", limit: 1).isComplete)
        }
        let next = try await left.persist(events("next"))
        #expect(next == [StreamID(Int64(ids.count) + 1)])
        // Whoever kept his place elsewhere, and lies beyond what is left, is told by the event that he had.
        guard ids.count < 20 else { return }
        let request = SnapshotRequest(
            delivered: Delivered(streamID: 20, mark: CommitMark(20), eventID: "e19"), membershipVersion: 0, after: 20,
            through: 20, limit: 1, byteLimit: 1)
        #expect(try await left.store.snapshot(of: stream, request)?.deliveredIsThere == false)
    }

    @Test(arguments: [0, 5_000, 40_000])
    func `a WAL file that is cut off while open is an error, and nothing more is acknowledged`(
        bytes: Int
    ) async throws {
        let folder = try TemporaryFolder()
        let log = try await open(folder, as: "p1")
        for index in 0..<20 { _ = try await log.persist(events(index..<(index + 1))) }
        #expect(truncate(folder.database + "-wal", bytes) == 0)
        for id in ["lost", "lost too"] {
            let error = await #expect(throws: TidemarkError.self) { try await log.persist(events(id)) }
            switch error {
            case .notADatabase, .storeUnavailable: break
            default: #expect(Bool(false), "\(String(describing: error))")
            }
        }
        // What has been in the reader's own memory may still be read; what is not there is an error, and no gap.
        let read = try? await log.store.all().map(\.streamID)
        #expect(read == nil || read == (1...20).map { StreamID($0) })
    }

    @Test func `a WAL file that SQLite itself empties or begins again is no fault`() async throws {
        let folder = try TemporaryFolder()
        let log = try await open(folder, as: "p1")
        let other = try DatabaseQueue(path: folder.database)
        for (index, mode) in ["PASSIVE", "FULL", "RESTART", "TRUNCATE", "TRUNCATE"].enumerated() {
            _ = try await log.persist(events(index * 30..<(index * 30 + 30)))
            _ = try other.writeWithoutTransaction { try Row.fetchAll($0, sql: "PRAGMA wal_checkpoint(\(mode))") }
        }
        _ = try await log.persist(events("a"))
        #expect(try await log.store.all().count == 151)
    }

    @Test(arguments: [1, -1])
    func `a wall clock that jumps by a day changes nothing but what people are shown`(days: Int64) async throws {
        let day: Int64 = 86_400_000
        let folder = try TemporaryFolder()
        let clock = ManualWallClock(1_700_000_000_000)
        let store = try await folder.open(.init(wallClockMilliseconds: { clock.now }))
        let one = try await EventLog.open(store, stream: stream, instance: "p1")
        let two = try await EventLog.open(store, stream: stream, instance: "p2")
        _ = try await one.persist(events("a"))
        let id = try await one.withNextID { id in
            clock.now += days * day
            _ = try await store.beat(try #require(two.writer), at: 1)
            // Nobody is silent by the wall clock, and nobody is closed.
            let members = try await store.reconciliation(of: stream, above: 0, limit: 0)?.observations ?? []
            #expect(members.count == 2)
            return try await one.persist(events("b")[0], as: id)
        }
        #expect(id == 2)
        let closed = try await store.closeWriter(
            stream,
            observed: try #require(
                try await store.reconciliation(of: stream, above: 0, limit: 0)?.observations.first {
                    $0.writer.instance == "p1"
                }))
        // The observation was fresh by the clock that counts: by hand it closes.
        #expect(closed == 2)
        #expect(try await two.persist(events("c")) == [3])
        try await one.reconcile()
        #expect(
            try await store.all().map(\.persistedAtMilliseconds).map { ($0 - 1_700_000_000_000) / day } == [
                0, days, days,
            ])
        #expect(try await store.status(of: stream)?.writers.allSatisfy { $0.heartbeatAgeMilliseconds >= 0 } == true)
    }

    @Test func `a full disk fails what is written in any way, and nothing that was acknowledged is lost`() async throws
    {
        let folder = try TemporaryFolder()
        let log = try await open(folder, as: "p1")
        let store = try #require(log.store as? SQLiteEventStore)
        _ = try await log.persist(events("a"))
        try await store.write { try $0.execute(sql: "CREATE TABLE letters (text TEXT)") }
        try await store.withWriter { db in
            let pages = try Int.fetchOne(db, sql: "PRAGMA page_count") ?? 0
            _ = try Int.fetchOne(db, sql: "PRAGMA max_page_count = \(pages)")
        }
        let full = TidemarkError.storeFull(store: store.path)
        let payload = [UInt8](repeating: 7, count: 100_000)
        await #expect(throws: full) { try await log.persist(Event(id: "b", type: "noted", payload: payload)) }
        await #expect(throws: full) {
            try await log.withNextID { id in
                try await log.persist(Event(id: "c", type: "noted", payload: payload), as: id)
            }
        }
        await #expect(throws: full) {
            try await log.withNextID { id in
                try await store.write { db in
                    try log.commit([id], in: db)
                    try db.execute(
                        sql: "INSERT INTO letters VALUES (?)", arguments: [String(repeating: "x", count: 99_999)])
                }
            }
        }
        // Readers and heartbeats go on, and so does everything when there is room.
        #expect(try await store.all().map(\.event.id) == ["a"])
        _ = try await store.beat(try #require(log.writer), at: 1)
        try await store.withWriter { _ = try Int.fetchOne($0, sql: "PRAGMA max_page_count = 100000") }
        let id = try await log.persist(Event(id: "b", type: "noted", payload: payload))
        try await log.reconcile()
        #expect(log.generator.minimumPersistedPosition == id)
        #expect(try await store.all().map(\.event.id) == ["a", "b"])
    }
}

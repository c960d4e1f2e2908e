import Foundation
import GRDB
import TestSupport
import Testing
import Tidemark

@testable import TidemarkSQLite

/// What the store of SQLite promises beyond the checks that every store passes (`StoreConformance`), or what cannot be forced,
/// or seen, through the protocol of a store. Stores on one file share nothing in a process but the file: they stand for
/// processes.
@Suite struct StoreTests {
    /// Marks of SQLite count commits.
    @Test func `a group is one commit, at the time of the wall clock`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open(.init(wallClockMilliseconds: { 1_700_000_000_123 }))
        let writer = try await store.join(stream, as: "p1").writer
        _ = try await store.persist(events("a", "b", "c"), in: stream, by: writer)
        let read = try await store.all()
        #expect(read.map(\.mark.place) == [1, 1, 1])
        #expect(read.allSatisfy { $0.persistedAtMilliseconds == 1_700_000_000_123 })
    }

    /// Another engine may take an ID from its sequence, and leave a tombstone.
    @Test func `the same event again writes nothing and takes no ID, in its group too`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        let outcomes = try await store.persist(events("a", "b", "a", "c"), in: stream, by: writer)
        #expect(outcomes == [.persisted(1), .persisted(2), .alreadyPersisted(1), .persisted(3)])
        let again = try await store.persist(events("c", "a"), in: stream, by: writer)
        #expect(again == [.alreadyPersisted(3), .alreadyPersisted(1)])
        let status = try await store.status(of: stream)
        #expect(status?.sequence == 3)
        #expect(try await store.persist(events("d"), in: stream, by: writer) == [.persisted(4)])
        #expect(try await store.all().map(\.mark.place) == [1, 1, 1, 2])
    }

    /// PostgreSQL refuses them.
    @Test func `ids and keys may have zero bytes`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        let ids = ["a\0b", "a\0c", "a"]
        let group = ids.map { Event(id: $0, type: "noted", key: $0) }
        let outcomes = try await store.persist(group, in: stream, by: writer)
        #expect(outcomes == (1...3).map { .persisted(StreamID($0)) })
        for (index, id) in ids.enumerated() {
            let found = try await store.event(withID: id, in: stream)
            #expect(found?.streamID == StreamID(Int64(index + 1)))
            #expect(found.map { Array($0.event.id.utf8) } == Array(id.utf8))
            #expect(found?.event.key.map { Array($0.utf8) } == Array(id.utf8))
        }
        #expect(try await store.persist([group[1]], in: stream, by: writer) == [.alreadyPersisted(2)])
    }

    /// Marks of SQLite count commits.
    @Test func `many IDs are abandoned in one commit`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        let ids = try await store.allocate(20_000, in: stream, for: writer)
        #expect(try await store.abandon(ids, in: stream, by: writer).isEmpty)
        let request = SnapshotRequest(
            delivered: nil, membershipVersion: try await store.version(), after: 0, through: 0, limit: 1, byteLimit: 1)
        #expect(try await store.snapshot(of: stream, request)?.mark.place == 1)
    }

    /// Times go by the wall clock that the store is opened with.
    @Test func `what is in flight is there for status until a later beat`() async throws {
        let folder = try TemporaryFolder()
        let clock = ManualWallClock(10_000)
        let store = try await folder.open(.init(wallClockMilliseconds: { clock.now }))
        let writer = try await store.join(stream, as: "p1").writer
        let ids = try await store.allocate(3, in: stream, for: writer)
        _ = try await store.heartbeat([
            Heartbeat(
                stream: stream, writer: writer, position: 0, inFlight: 3, lowestInFlight: ids[0],
                inFlightMilliseconds: 400)
        ])
        clock.now += 100
        let status = try await store.status(of: stream)?.writers.first
        #expect(status?.inFlight == 3)
        #expect(status?.lowestInFlight == 1)
        #expect(status?.inFlightMilliseconds == 500)
        #expect(status?.heartbeatAgeMilliseconds == 100)
        _ = try await store.beat(writer, at: 0)
        #expect(try await store.status(of: stream)?.writers.first?.inFlightMilliseconds == nil)
    }

    /// The sequence is put back by SQL.
    @Test func `joining starts above every row and every promise, where the sequence was put back`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        _ = try await store.persist(events("a", "b"), in: stream, by: writer)
        _ = try await store.allocate(5, in: stream, for: writer)
        _ = try await store.closeWriter(stream, instance: "p1")
        try await store.withWriter { try $0.execute(sql: "UPDATE tidemark_streams SET sequence = 1") }
        await #expect(throws: TidemarkError.self) { try await store.persist(events("c"), in: stream, by: writer) }
        let joined = try await store.join(stream, as: "p2")
        #expect(joined.position == 7)
        #expect(joined.raisedFrom == 1)
        #expect(try await store.join(stream, as: "p3").raisedFrom == nil)
        #expect(try await store.persist(events("c"), in: stream, by: joined.writer) == [.persisted(8)])
        #expect(try await store.persist(events("d"), in: stream, by: writer) == [.persisted(9)])
    }

    /// What is said of the process is its number here, which a server on another machine would not know.
    @Test func `whoever has a consumer is named by its process`() async throws {
        let folder = try TemporaryFolder()
        let (first, second) = (try await folder.open(), try await folder.open())
        _ = try await first.claimConsumer("mails", in: stream)
        let process = "process \(ProcessInfo.processInfo.processIdentifier)"
        await #expect(throws: TidemarkError.consumerInUse(stream: stream, consumer: "mails", by: process)) {
            try await second.claimConsumer("mails", in: stream, takingOver: false)
        }
        #expect(try await second.status(of: stream)?.consumers.map(\.processID) == [getpid()])
    }

    /// Without gaps, and with marks in the order of the IDs: the transactions come one after the other.
    @Test func `four stores that write without pause all get through, and leave no gap`() async throws {
        let folder = try TemporaryFolder()
        try await withThrowingTaskGroup { group in
            for index in 0..<4 {
                group.addTask {
                    let store = try await folder.open()
                    let writer = try await store.join(stream, as: InstanceName(validating: "p\(index)")).writer
                    for number in 0..<40 {
                        let own = Event(id: "\(index)-\(number)", type: "noted")
                        let shared = Event(id: "shared-\(number)", type: "noted")
                        _ = try await store.persist([own, shared], in: stream, by: writer)
                        _ = try await store.beat(writer, at: 0)
                    }
                }
            }
            try await group.waitForAll()
        }
        let read = try await folder.open().all()
        #expect(read.map(\.streamID.rawValue) == Array(1...200))
        #expect(Set(read.map(\.event.id)).count == 200)
        #expect(read.map(\.mark.rawValue) == read.map(\.mark.rawValue).sorted())
    }
}

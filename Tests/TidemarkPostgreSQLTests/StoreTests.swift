import TestSupport
import Testing
import Tidemark

@testable import TidemarkPostgreSQL

/// What the store of PostgreSQL promises beyond the checks that every store passes (`StoreConformance`).
@Suite(.enabled(if: TestCluster.isAvailable)) struct StoreTests {
    /// SQLite takes no ID for it.
    @Test(arguments: [false, true])
    func `an event that is there already keeps its ID, and the loser's gets a tombstone that is told`(isKeyed: Bool)
        async throws
    {
        try await withStore { store, _ in
            if isKeyed { #expect(try await store.makeKeyIndex(of: stream) == .complete) }
            let writer = try await store.join(stream, as: "p1").writer
            _ = try await store.persist(events("a"), in: stream, by: writer)
            let group = try await store.persist(EventGroup(events("b", "a", "b"), in: stream, by: writer))
            #expect(group.outcomes == [.persisted(2), .alreadyPersisted(1), .alreadyPersisted(2)])
            #expect(group.tombstones == [3, 4])
            let single = try await store.persist(EventGroup(events("a"), in: stream, by: writer))
            #expect(single == PersistedGroup(outcomes: [.alreadyPersisted(1)], tombstones: [5]))
            #expect(try await store.finished() == [1...5])
        }
    }

    @Test func `the streams of a database are named in their order`() async throws {
        try await withStore { store, _ in
            for name: StreamName in ["second", "third", "first"] { _ = try await store.join(name, as: "p1") }
            #expect(try await store.streams(limit: 10) == ["first", "second", "third"])
            #expect(try await store.streams(limit: 2) == ["first", "second"])
        }
    }

    /// The server asks the system itself, in the transaction that closes.
    @Test func `whoever is told that a process is gone looks whether it is`() async throws {
        try await withStore { store, configuration in
            let writer = try await store.join(stream, as: "p1").writer
            try await withStore(at: configuration) { (other) async throws in
                let wrong = WriterObservation(writer: writer, heartbeat: 0, position: 0, isProcessGone: true)
                #expect(try await other.closeWriter(stream, observed: wrong) == nil)
                #expect(try await other.retire(stream, observed: wrong) == false)
            }
        }
    }

    //  first    beats │ its direct connection is ended, another one is made │ does not beat
    //  second                                                               │ looks: the first lives
    @Test func `a process that runs a processor is not taken for gone when its direct connection is made anew`()
        async throws
    {
        try await withStore { first, configuration in
            let processor = ProcessorName("workers", of: stream)
            _ = try await first.join(stream, as: "p1")
            _ = try await first.claimConsumer("workers", in: stream)
            try await first.openProcessor(processor, filter: .all, partitions: 1)
            _ = try await first.beat(ProcessorBeat(process: ProcessorProcess(7)), of: processor)
            let before = try #require(first.lifeKey)
            let ended = try await connecting(configuration) { session in
                try session.query(
                    """
                    SELECT count(pg_terminate_backend(l.pid)) FROM pg_locks l
                    WHERE l.locktype = 'advisory' AND (l.classid::bigint << 32) | l.objid::bigint = $1
                    """, [.int64(before)]
                ).int64(0, 0)
            }
            #expect(ended == 1)
            try await eventually { first.lifeKey.map { $0 != before } ?? false }
            try await withStore(at: configuration) { (second) async throws in
                try await eventually("the new lock is named") {
                    try await second.beat(ProcessorBeat(process: ProcessorProcess(8)), of: processor).processes
                        .allSatisfy { !$0.isGone }
                }
            }
        }
    }
}

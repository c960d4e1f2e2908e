import TestSupport
import Testing
import Tidemark

@testable import TidemarkPostgreSQL

/// What the lock of pruning is for, and the mark: each interleaving is forced by a transaction that is open.
@Suite(.enabled(if: TestCluster.isAvailable)) struct PruneHazardTests {
    /// Events 1 to 4, all finished.
    private func persisted(_ store: PostgreSQLEventStore) async throws -> Writer {
        let writer = try await store.join(stream, as: "p1").writer
        _ = try await store.persist(events("a", "b", "c", "d"), in: stream, by: writer)
        _ = try await store.beat(writer, at: 4)
        return writer
    }

    //  prunes                                  a new consumer
    //                                          is put before the first event
    //  waits for it
    //                                          commits
    //  finds it at 0
    @Test func `pruning waits for a consumer that is being put at a place, and finds it there`() async throws {
        try await withStore { store, configuration in
            _ = try await persisted(store)
            let open = try await OpenTransaction(configuration) { session in
                _ = try session.query(
                    """
                    SELECT * FROM tidemark.claim_consumer_1(
                        'events', 'late', 0, 5, true, 1, NULL, NULL, 0, false, NULL, NULL, NULL, NULL, NULL)
                    """)
            }
            let pruning = Task { try await store.prune(stream, .through(3)) }
            try await eventually("pruning waits") { try await store.waiting() == 1 }
            try await open.commit()
            await #expect(throws: TidemarkError.pruneHeldBack(stream: stream, id: 3, by: .consumer("late"), at: 0)) {
                try await pruning.value
            }
            #expect(try await store.all() == [1, 2, 3, 4])
        }
    }

    //  prunes                                  a new consumer
    //  has read the places
    //                                          is to begin with the first event, and waits
    //  commits
    //                                          is told where the stream begins
    @Test func `a consumer that comes while a stream is pruned is told where it begins then`() async throws {
        try await withStore { store, configuration in
            _ = try await persisted(store)
            let open = try await OpenTransaction(configuration) { session in
                let row = try session.query("SELECT tidemark.begin_prune_1('events', 10000)::bigint").int64(0, 0)
                _ = try session.query(
                    """
                    SELECT tidemark.end_prune_1(
                        \(row), 0, 3, false, 3, 3, e.mark, 3, 0, 0, 0, '{}', '{}', '{}', '{}', '{}', '{}', '{}')
                    FROM tidemark.events e WHERE e.stream = \(row) AND e.stream_id = 3
                    """)
            }
            let claiming = Task { try await store.claimConsumer("late", in: stream) }
            try await eventually("the consumer waits") { try await store.waiting() == 1 }
            try await open.commit()
            await #expect(throws: TidemarkError.pruned(stream: stream, after: 0, through: 3)) {
                try await claiming.value
            }
            #expect(try await store.status(of: stream)?.consumers.isEmpty == true)
        }
    }

    /// A crash took the sequence back, and nothing but the mark says how far it was.
    @Test(arguments: [false, true])
    func `a join, and an incarnation, put the sequence above the mark`(beginsIncarnation: Bool) async throws {
        try await withStore { store, configuration in
            let writer = try await persisted(store)
            try await store.leave(stream, as: writer)
            #expect(try await store.prune(stream, .through(4), forgettingIDs: true).events == 4)
            try await connecting(configuration) { session in
                _ = try session.query("SELECT setval(s.sequence, 1, true) FROM tidemark.streams s")
                _ = try session.query("DELETE FROM tidemark.instances")
                if beginsIncarnation { _ = try session.query("DELETE FROM tidemark.token") }
            }
            let joined = try await store.join(stream, as: "p2")
            #expect(joined.position >= 4)
            let outcome = try await store.persist(events("e"), in: stream, by: joined.writer)
            #expect(outcome.allSatisfy { $0.streamID > 4 })
            #expect(try await store.batch(after: 4)?.events.map(\.event.id) == ["e"])
        }
    }
}

extension PostgreSQLEventStore {
    /// Backends that wait for a lock.
    fileprivate func waiting() async throws -> Int64 {
        try await pool.query(
            """
            SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
            """
        ) { try $0.int64(0, 0) }
    }
}
